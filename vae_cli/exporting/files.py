"""The files of an export."""

WEIGHTS = "model.safetensors"
ENCODER = "encoder.pt2"
DECODER = "decoder.pt2"
RECORD = "export.json"
FILES = (ENCODER, DECODER, WEIGHTS, RECORD)
