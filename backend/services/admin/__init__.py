"""What goes on in the whole suite, for those who run it: counts now and by day.

It owns no tables. Every service counts what is its own; this one asks them all with the
caller's rights and puts the answers together. Administrators reach it through the gateway.
"""
