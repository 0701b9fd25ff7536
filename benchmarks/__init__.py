"""Measurements of speed and memory, side by side with what people use today. Nothing else imports this package."""

import common  # noqa: F401  # before the tensor library: it says how threads wait
