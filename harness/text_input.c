#include "harness/text_input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/map.h"
#include "engine/text/tokenizer.h"

/* CR LF and CR to LF, in place. */
static size_t to_newlines(char *text, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\r' && i + 1 < size && text[i + 1] == '\n')
            continue;
        text[n++] = text[i] == '\r' ? '\n' : text[i];
    }
    text[n] = 0;
    return n;
}

hm_status hm_text_check(const char *text, size_t size, const char *where, hm_error *err)
{
    char *lower = NULL;
    const char *nul = memchr(text, 0, size);
    if (nul)
        return hm_fail(err, HM_EFORMAT, "%s: byte %zu is NUL: it is not text", where, (size_t)(nul - text));
    hm_status st = hm_text_lower(&lower, text, size, where, err); /* finds what is not UTF-8 */
    free(lower);
    return st;
}

/* All of standard input, NUL-terminated. */
static hm_status read_input(char **out, size_t *size, const char *what, hm_error *err)
{
    size_t used = 0, room = 65536;
    char *text = malloc(room + 1);
    while (text) {
        ssize_t n = read(STDIN_FILENO, text + used, room - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            free(text);
            return hm_fail(err, HM_EIO, "%s: standard input: %s", what, strerror(errno));
        }
        used += (size_t)n;
        if (!n || used > HM_TEXT_MAX_BYTES)
            break;
        if (used == room) {
            char *grown = realloc(text, room * 2 + 1);
            if (!grown)
                free(text);
            text = grown;
            room *= 2;
        }
    }
    if (!text)
        return hm_fail(err, HM_EABSENT, "%s: no memory for the text", what);
    if (used > HM_TEXT_MAX_BYTES) {
        free(text);
        return hm_fail(err, HM_EFORMAT, "%s: standard input is longer than %zu bytes", what, HM_TEXT_MAX_BYTES);
    }
    text[used] = 0;
    *out = text;
    *size = used;
    return HM_OK;
}

static hm_status read_file(char **out, size_t *size, const char *path, const char *what, hm_error *err)
{
    hm_map file = {0};
    hm_status st = hm_map_read(&file, path, HM_TEXT_MAX_BYTES, err);
    if (st)
        return hm_fail_within(err, "%s", what);
    *out = hm_calloc(file.size + 1, 1, what, err);
    *size = file.size;
    if (*out && file.size)
        memcpy(*out, file.data, file.size);
    hm_map_close(&file);
    return *out ? HM_OK : HM_EABSENT;
}

hm_status hm_text_read(char **out, const char *path, const char *what, hm_error *err)
{
    char *text = NULL, where[512];
    size_t size = 0;
    bool input = !strcmp(path, "-");
    hm_status st = input ? read_input(&text, &size, what, err) : read_file(&text, &size, path, what, err);
    if (st)
        return st;
    snprintf(where, sizeof where, "%s %s", what, input ? "from standard input" : path);
    st = hm_text_check(text, size, where, err);
    if (st) {
        free(text);
        return st;
    }
    to_newlines(text, size);
    *out = text;
    return HM_OK;
}

hm_status hm_text_or_file(char **out, const char *value, const char *what, hm_error *err)
{
    struct stat s;
    if (!stat(value, &s) && S_ISREG(s.st_mode))
        return hm_text_read(out, value, what, err);
    hm_status st = hm_text_check(value, strlen(value), what, err);
    if (st)
        return st;
    *out = strdup(value);
    return *out ? HM_OK : hm_fail(err, HM_EABSENT, "%s: no memory for the text", what);
}
