/* Text that users hand over: literally, or as a file. */
#ifndef HM_HARNESS_TEXT_INPUT_H
#define HM_HARNESS_TEXT_INPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/error.h"

#define HM_TEXT_MAX_BYTES ((size_t)4 << 20)

/* The file at path ("-": standard input) as UTF-8 with CR LF and CR turned into LF; a byte order mark stays, as a character of the
 * text. HM_EMISSING; HM_EFORMAT: not UTF-8 (with the byte offset), a NUL, or more than HM_TEXT_MAX_BYTES. malloc'ed. what: "lyrics". */
hm_status hm_text_read(char **out, const char *path, const char *what, hm_error *err);

/* The text of the file when value is the path of one, else value itself (which must be UTF-8). malloc'ed. */
hm_status hm_text_or_file(char **out, const char *value, const char *what, hm_error *err);

/* HM_EFORMAT unless text is UTF-8 without NUL. where: "lyrics song.txt". */
hm_status hm_text_check(const char *text, size_t size, const char *where, hm_error *err);

#endif
