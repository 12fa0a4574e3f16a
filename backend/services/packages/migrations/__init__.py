"""Migrations of the tables of the packages service."""
