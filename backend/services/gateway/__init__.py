"""The only public door: it knows who asks, how often they may, and which service answers.

It owns nothing but its route table. Everyone outside calls it; it calls every service.
"""
