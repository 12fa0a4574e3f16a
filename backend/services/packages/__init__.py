"""The packages service stores shipments and their tracking events, and investigates them.

It owns packages, tracking events, lane statistics, investigations and tours. The status of a
package is computed from its events. Callers are the gateway, carriers through it, and the agent.
"""
