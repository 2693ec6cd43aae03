"""Writes a file as a C array that begins on an address divisible by 8: embed.py INPUT OUTPUT SYMBOL."""

import sys

source, target, symbol = sys.argv[1:]
with open(source, "rb") as file:
    data = file.read()
rows = [", ".join(f"0x{byte:02x}" for byte in data[i:i + 16]) for i in range(0, len(data), 16)]
with open(target, "w") as file:
    file.write('/* Made by embed.py: do not edit. */\n#include "uprobe/object.h"\n\n')
    file.write(f"_Alignas(8) const unsigned char {symbol}[] = {{\n\t" + ",\n\t".join(rows) + ",\n};\n")
    file.write(f"const size_t {symbol}_len = sizeof({symbol});\n")
