"""Ranges that options are annotated with; `common.registry` checks them where a choice is made."""

from typing import Annotated

from pydantic import Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
"""A number from 0 to 1."""

Width = Annotated[float, Field(ge=0.1, le=4.0)]
"""What multiplies the numbers of channels of a network."""
