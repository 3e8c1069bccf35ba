/* What a SPIR-V module says of its kernels: names, arguments, group sizes. */
#include "tests/ze_soft/soft.h"

#include <stdlib.h>
#include <string.h>

enum {
    OP_ENTRY_POINT = 15,
    OP_EXECUTION_MODE = 16,
    OP_TYPE_INT = 21,
    OP_TYPE_FLOAT = 22,
    OP_TYPE_POINTER = 32,
    OP_FUNCTION = 54,
    OP_FUNCTION_PARAMETER = 55,
    OP_FUNCTION_END = 56,
    MODEL_KERNEL = 6,
    MODE_LOCAL_SIZE = 17,
    CLASS_WORKGROUP = 4
};

typedef struct reader {
    soft_entry_point *entries;
    int count, room;
    soft_argument *types; /* by id */
    uint32_t bound;
    soft_entry_point *current;
    bool bad;
} reader;

static soft_entry_point *by_function(reader *r, uint32_t function)
{
    for (int i = 0; i < r->count; i++)
        if (r->entries[i].function == function)
            return &r->entries[i];
    return NULL;
}

static void read_entry_point(reader *r, const uint32_t *w, uint32_t length)
{
    if (length < 4 || w[1] != MODEL_KERNEL)
        return;
    if (r->count == r->room) {
        int room = r->room ? r->room * 2 : 32;
        soft_entry_point *entries = realloc(r->entries, (size_t)room * sizeof *entries);
        if (!entries) {
            r->bad = true;
            return;
        }
        r->entries = entries;
        r->room = room;
    }
    soft_entry_point *e = &r->entries[r->count++];
    *e = (soft_entry_point){.function = w[2]};
    size_t most = (length - 3) * sizeof *w;
    size_t bytes = strnlen((const char *)(w + 3), most);
    r->bad |= bytes >= sizeof e->name || bytes == most;
    memcpy(e->name, w + 3, bytes < sizeof e->name ? bytes : sizeof e->name - 1);
}

static void read_parameter(reader *r, uint32_t type)
{
    soft_entry_point *e = r->current;
    if (!e)
        return;
    if (e->count == SOFT_ARGUMENTS || type >= r->bound) {
        r->bad = true;
        return;
    }
    e->arguments[e->count++] = r->types[type];
}

static void read_instruction(reader *r, const uint32_t *w, uint32_t length)
{
    bool typed = length > 2 && w[1] < r->bound;
    switch (w[0] & 0xffff) {
    case OP_ENTRY_POINT:
        read_entry_point(r, w, length);
        break;
    case OP_EXECUTION_MODE: {
        soft_entry_point *e = length == 6 && w[2] == MODE_LOCAL_SIZE ? by_function(r, w[1]) : NULL;
        if (e)
            memcpy(e->required, w + 3, sizeof e->required);
        break;
    }
    case OP_TYPE_INT:
    case OP_TYPE_FLOAT:
        if (typed)
            r->types[w[1]] = (soft_argument){SOFT_BY_VALUE, w[2] / 8};
        break;
    case OP_TYPE_POINTER:
        if (typed)
            r->types[w[1]] =
                (soft_argument){w[2] == CLASS_WORKGROUP ? SOFT_LOCAL : SOFT_GLOBAL, w[2] == CLASS_WORKGROUP ? 0 : sizeof(void *)};
        break;
    case OP_FUNCTION:
        r->current = length > 2 ? by_function(r, w[2]) : NULL;
        break;
    case OP_FUNCTION_PARAMETER:
        if (length > 2)
            read_parameter(r, w[1]);
        break;
    case OP_FUNCTION_END:
        r->current = NULL;
        break;
    default:
        break;
    }
}

soft_entry_point *hm_soft_spirv_read(const void *spirv, size_t bytes, int *count)
{
    size_t words = bytes / sizeof(uint32_t);
    uint32_t *w = bytes % sizeof *w ? NULL : malloc(bytes + 1);
    reader r = {0};
    if (w)
        memcpy(w, spirv, bytes);
    if (w && words > 5 && w[0] == 0x07230203 && w[3] < (1u << 24)) {
        r.bound = w[3];
        r.types = calloc(r.bound, sizeof *r.types);
    }
    r.bad = !r.types;
    for (size_t at = 5; !r.bad && at < words;) {
        uint32_t length = w[at] >> 16;
        r.bad = !length || length > words - at;
        if (!r.bad)
            read_instruction(&r, w + at, length);
        at += length;
    }
    free(r.types);
    free(w);
    if (r.bad || !r.count) {
        free(r.entries);
        return NULL;
    }
    *count = r.count;
    return r.entries;
}
