"""Rows of a dataset and the classes of its scans: python3 reader.py DATA"""
import sys
from safetensors import safe_open

with safe_open(sys.argv[1], "numpy") as data:
    classes = data.metadata()["classes"].split("\t")
    ids = bytes(data.get_tensor("ids")).decode().split("\0")[:-1]
    images, labels = data.get_tensor("images"), data.get_tensor("labels")
for name, picture, label in zip(ids, images, labels):
    print(name, picture.shape, classes[label] if label >= 0 else "?", sep="\t")
