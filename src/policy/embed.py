"""Writes a file as a C array: embed.py INPUT OUTPUT SYMBOL. The array ends where the file does, without a NUL."""

import sys

source, target, symbol = sys.argv[1:]
with open(source, "rb") as file:
    data = file.read()
rows = [", ".join(f"0x{byte:02x}" for byte in data[i:i + 16]) for i in range(0, len(data), 16)]
with open(target, "w") as file:
    file.write("/* Made by embed.py: do not edit. */\n#include \"policy/snapshot.h\"\n\n")
    file.write(f"const unsigned char {symbol}_text[] = {{\n\t" + ",\n\t".join(rows) + ",\n};\n")
    file.write(f"const size_t {symbol}_len = sizeof({symbol}_text);\n")
