"""Finding faces in raw photographs: face boxes and landmarks for `data.boxes`, from a published detector."""
