"""What the service does, in words of the business."""
