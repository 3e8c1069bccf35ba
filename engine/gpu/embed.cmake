# Modules of GPUs as a table in C, one row {"name", a pointer per kind, a size per kind} each:
# cmake -DOUT=<.c> -DFROM=<folder> "-DNAMES=linear rows ..." "-DKINDS=plain subgroup" -DSUFFIX=spv -DHEADER=<.h> -DTABLE=<type> -P embed.cmake
# FROM has <name>_<kind>.<suffix>; the table is <type>s.
separate_arguments(NAMES)
separate_arguments(KINDS)
set(text "/* Made by engine/gpu/embed.cmake. */\n#include \"${HEADER}\"\n\n")
set(rows "")
foreach(name IN LISTS NAMES)
  set(pointers "")
  set(sizes "")
  foreach(kind IN LISTS KINDS)
    set(file ${FROM}/${name}_${kind}.${SUFFIX})
    set(symbol hm_${SUFFIX}_${name}_${kind})
    file(SIZE ${file} bytes)
    string(APPEND text "__asm__(\".pushsection .rodata.${symbol},\\\"a\\\"\\n.balign 16\\n.hidden ${symbol}\\n.globl ${symbol}\\n\"\n"
      "        \"${symbol}:\\n.incbin \\\"${file}\\\"\\n.popsection\");\nextern const uint8_t ${symbol}[];\n")
    string(APPEND pointers ", ${symbol}")
    string(APPEND sizes ", ${bytes}")
  endforeach()
  string(APPEND rows "    {\"${name}\"${pointers}${sizes}},\n")
endforeach()
file(WRITE ${OUT} "${text}\nconst ${TABLE} ${TABLE}s[] = {\n${rows}    {0}};\n")
