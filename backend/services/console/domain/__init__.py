"""The files of the interface, and conversions for the display of answers."""
