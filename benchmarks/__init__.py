"""Measurements of speed and memory, side by side with what people use today. Nothing else imports this package."""
