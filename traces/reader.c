#include "traces/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <zlib.h>

#define CHUNK (1 << 18)
#define MAX_VALUE ((size_t)16 << 20) /* bytes of one event, or of one other member of the top object */

typedef struct source {
    gzFile gz; /* or NULL: everything is in text */
    const char *text;
    size_t size, at;
    char *chunk;
    int64_t taken; /* bytes before `text` */
    char *value;   /* text of the value being read */
    size_t value_size, value_room;
    const char *where;
    hm_error *err;
    hm_status status; /* of the first failure */
} source;

static bool refill(source *s)
{
    if (!s->gz || s->status)
        return false;
    s->taken += (int64_t)s->size;
    s->at = s->size = 0;
    if (s->taken > HM_TRACE_MAX_TEXT) {
        s->status = hm_fail(s->err, HM_EFORMAT, "%s: more than %lld bytes of JSON: no trace this program writes", s->where,
                            (long long)HM_TRACE_MAX_TEXT);
        return false;
    }
    int n = gzread(s->gz, s->chunk, CHUNK), code = Z_OK;
    const char *why = gzerror(s->gz, &code);
    if (n < 0 || (n == 0 && code != Z_OK && code != Z_STREAM_END)) {
        s->status = hm_fail(s->err, code == Z_ERRNO ? HM_EIO : HM_EFORMAT, "%s: cannot be read to its end: %s", s->where,
                            code == Z_ERRNO       ? strerror(errno)
                            : code == Z_BUF_ERROR ? "the compressed data is cut short"
                                                  : why);
        return false;
    }
    s->text = s->chunk;
    s->size = (size_t)n;
    return n > 0;
}

/* The next character without taking it; -1 at the end. */
static int peek(source *s)
{
    return s->at < s->size || refill(s) ? (unsigned char)s->text[s->at] : -1;
}

static int peek_solid(source *s)
{
    int c;
    while ((c = peek(s)) == ' ' || c == '\t' || c == '\n' || c == '\r')
        s->at++;
    return c;
}

static hm_status broken(source *s, const char *what)
{
    if (!s->status)
        s->status = hm_fail(s->err, HM_EFORMAT, "%s: byte %lld: %s", s->where, (long long)(s->taken + (int64_t)s->at), what);
    return s->status;
}

static bool keep(source *s, char c)
{
    if (s->value_size == s->value_room) {
        size_t room = s->value_room ? 2 * s->value_room : 4096;
        char *grown = room > MAX_VALUE ? NULL : realloc(s->value, room);
        if (!grown) {
            broken(s, room > MAX_VALUE ? "one value has more than 16 MB" : "no memory for one of its values");
            return false;
        }
        s->value = grown;
        s->value_room = room;
    }
    s->value[s->value_size++] = c;
    return true;
}

/* Takes the text of one value into s->value: brackets are counted, strings skipped, the rest is left to the JSON parser.
 * False: the text ended inside it, or a failure. */
static bool take_value(source *s)
{
    int depth = 0, c = peek_solid(s);
    bool quoted = false, escaped = false;
    for (s->value_size = 0; c >= 0; c = peek(s)) {
        bool was_quoted = quoted;
        if (!quoted && !depth && s->value_size && (c == ',' || c == ']' || c == '}' || c == ' ' || c == '\n' || c == '\t' || c == '\r'))
            return true;
        if (!keep(s, (char)c))
            return false;
        s->at++;
        if (escaped)
            escaped = false;
        else if (quoted && c == '\\')
            escaped = true;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '['))
            depth++;
        else if (!quoted && (c == '}' || c == ']'))
            depth--;
        if (depth < 0)
            return !broken(s, "a bracket closes nothing");
        if (!depth && !quoted && (was_quoted || c == '}' || c == ']'))
            return true;
    }
    return !depth && !quoted && s->value_size && !s->status;
}

static json_t *parse_value(source *s)
{
    json_error_t e;
    json_t *v = json_loadb(s->value ? s->value : "", s->value_size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
    if (!v && !s->status)
        s->status = hm_fail(s->err, HM_EFORMAT, "%s: byte %lld: broken JSON: %s", s->where,
                            (long long)(s->taken + (int64_t)s->at - (int64_t)s->value_size + (e.position > 0 ? e.position : 0)), e.text);
    return v;
}

/* The elements after '['. An end of the file is told in form->unfinished. */
static hm_status read_events(source *s, const hm_trace_reader *reader, hm_trace_form *form)
{
    s->at++;
    form->has_events = true;
    for (int64_t number = 0;; number++) {
        int c = peek_solid(s);
        if (c == ']' && number == 0) {
            s->at++;
            return HM_OK;
        }
        if (c < 0 || !take_value(s)) {
            form->unfinished = true;
            return s->status;
        }
        json_t *v = parse_value(s);
        if (!v)
            return s->status;
        reader->event(reader->self, &(hm_trace_item){number, s->value, s->value_size, v});
        json_decref(v);
        c = peek_solid(s);
        if (c < 0) {
            form->unfinished = true;
            return s->status;
        }
        if (c != ',' && c != ']')
            return broken(s, "expected a comma or the end of the list of events");
        s->at++;
        if (c == ']')
            return HM_OK;
    }
}

static hm_status read_member(source *s, const hm_trace_reader *reader, hm_trace_form *form)
{
    if (peek_solid(s) != '"' || !take_value(s))
        return broken(s, "expected a key in quotes");
    json_t *key = parse_value(s);
    if (!key)
        return s->status;
    if (peek_solid(s) != ':') {
        json_decref(key);
        return broken(s, "expected a colon behind a key");
    }
    s->at++;
    bool events = !strcmp(json_string_value(key), "traceEvents");
    if (events && form->has_events) {
        broken(s, "\"traceEvents\" comes twice");
    } else if (events && peek_solid(s) == '[') {
        if (!read_events(s, reader, form) && form->unfinished)
            broken(s, "the file ends inside \"traceEvents\"");
    } else if (!take_value(s)) {
        broken(s, "the file ends inside a value");
    } else {
        json_t *v = parse_value(s);
        if (v && reader->member)
            reader->member(reader->self, json_string_value(key), v);
        json_decref(v);
    }
    json_decref(key);
    return s->status;
}

static hm_status read_top(source *s, const hm_trace_reader *reader, hm_trace_form *form)
{
    *form = (hm_trace_form){0};
    int c = peek_solid(s);
    if (c == '[') {
        form->array = true;
        if (read_events(s, reader, form))
            return s->status;
    } else if (c == '{') {
        s->at++;
        if (peek_solid(s) == '}')
            s->at++;
        else
            do {
                if (read_member(s, reader, form))
                    return s->status;
                c = peek_solid(s);
                if (c != ',' && c != '}')
                    return broken(s, c < 0 ? "the file ends inside the top object" : "expected a comma or a closing bracket");
                s->at++;
            } while (c == ',');
    } else {
        return broken(s, c < 0 ? "the file is empty" : "expected { or [: this is no Chrome trace");
    }
    if (!form->unfinished && peek_solid(s) >= 0)
        return broken(s, "there is more behind the end of the trace");
    return s->status;
}

hm_status hm_trace_read(const char *path, const hm_trace_reader *reader, hm_trace_form *form, hm_error *err)
{
    struct stat info;
    source s = {.where = path, .err = err};
    if (stat(path, &info))
        return hm_fail(err, errno == ENOENT ? HM_EMISSING : HM_EIO, "%s: cannot open the trace: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return hm_fail(err, HM_EMISSING, "%s: a trace is a file, this is none", path);
    s.chunk = hm_calloc(1, CHUNK, "trace reader", err);
    if (!s.chunk)
        return HM_EABSENT;
    s.gz = gzopen(path, "rb");
    if (s.gz)
        read_top(&s, reader, form);
    else
        s.status = hm_fail(err, HM_EIO, "%s: cannot open the trace: %s", path, strerror(errno));
    if (s.gz)
        gzclose(s.gz);
    free(s.chunk);
    free(s.value);
    return s.status;
}

hm_status hm_trace_read_text(const char *text, size_t size, const char *where, const hm_trace_reader *reader, hm_trace_form *form,
                             hm_error *err)
{
    source s = {.text = text, .size = size, .where = where, .err = err};
    hm_status st = read_top(&s, reader, form);
    free(s.value);
    return st;
}

/* End of the JSON value that starts at p. */
static const char *skip_value(const char *p, const char *end)
{
    int depth = 0;
    bool quoted = false;
    for (; p < end; p++) {
        if (quoted) {
            if (*p == '\\')
                p++;
            else if (*p == '"')
                quoted = false;
        } else if (*p == '"') {
            quoted = true;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if ((*p == '}' || *p == ']') && depth-- == 0) {
            return p;
        } else if (*p == ',' && !depth) {
            return p;
        }
    }
    return end;
}

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

const char *hm_trace_raw_member(const char *raw, size_t raw_size, const char *key, size_t *size)
{
    const char *end = raw + raw_size, *p = skip_space(raw, end);
    size_t key_size = strlen(key);
    if (p >= end || *p != '{')
        return NULL;
    while (p < end && *p != '}') {
        const char *name = skip_space(p + 1, end), *quote = name + 1;
        while (quote < end && *quote != '"')
            quote += *quote == '\\' ? 2 : 1;
        if (quote >= end)
            return NULL;
        const char *value = skip_space(quote + 1, end); /* at the colon */
        value = skip_space(value < end ? value + 1 : end, end);
        const char *next = skip_value(value, end), *last = next;
        while (last > value && (last[-1] == ' ' || last[-1] == '\n' || last[-1] == '\t' || last[-1] == '\r'))
            last--;
        if ((size_t)(quote - name - 1) == key_size && !memcmp(name + 1, key, key_size)) {
            *size = (size_t)(last - value);
            return value;
        }
        p = next;
    }
    return NULL;
}

hm_trace_time hm_trace_parse_us(const char *text, size_t size, int64_t *ns, int *decimals)
{
    size_t at = size && text[0] == '-';
    int64_t whole = 0, part = 0;
    int digits = 0;
    *decimals = 0;
    for (; at < size && text[at] >= '0' && text[at] <= '9'; at++, digits++) {
        if (digits >= 15)
            return HM_TIME_TOO_LARGE;
        whole = 10 * whole + (text[at] - '0');
    }
    if (!digits)
        return HM_TIME_NOT_A_NUMBER;
    if (at < size && text[at] == '.')
        for (at++; at < size && text[at] >= '0' && text[at] <= '9'; at++, ++*decimals)
            part = *decimals < 3 ? 10 * part + (text[at] - '0') : part;
    for (int i = *decimals; i < 3; i++)
        part *= 10;
    if (at < size)
        return text[at] == 'e' || text[at] == 'E' ? HM_TIME_EXPONENT : HM_TIME_NOT_A_NUMBER;
    *ns = (whole * 1000 + part) * (text[0] == '-' ? -1 : 1);
    return HM_TIME_OK;
}
