#include "harness/places.h"

#include <string.h>

#include "harness/store_places.h"

const char *hm_places_text(char *out, size_t size, const hm_place *places, int count)
{
    size_t used = 0;
    if (size)
        *out = 0;
    for (int i = 0; i < count; i++) {
        char one[2 * HM_PLACE_TEXT + 4];
        if (!places[i].operations)
            continue;
        int n = snprintf(one, sizeof one, "%s%s=%s%s", used ? "," : "", places[i].part, places[i].device, places[i].elsewhere ? "+" : "");
        if (used + (size_t)n >= size) /* whole entries only */
            break;
        memcpy(out + used, one, (size_t)n + 1);
        used += (size_t)n;
    }
    return out;
}

/* A piece of "part=device,part=device". */
typedef struct entry {
    const char *part, *device;
    int part_length, device_length;
} entry;

static bool next_entry(const char **text, entry *e)
{
    size_t n = strcspn(*text, ",");
    const char *equal = memchr(*text, '=', n);
    if (!n || !equal)
        return false;
    *e = (entry){*text, equal + 1, (int)(equal - *text), (int)(n - (size_t)(equal + 1 - *text))};
    *text += n + ((*text)[n] == ',');
    return true;
}

/* What stands before ':' is the backend. */
static bool on_backend(const entry *e, const char *backend)
{
    size_t n = strlen(backend);
    return (size_t)e->device_length >= n && !strncmp(e->device, backend, n) &&
           ((size_t)e->device_length == n || e->device[n] == ':' || e->device[n] == '+');
}

bool hm_places_remark(const char *places, const char *backend, char *out, size_t size)
{
    entry first = {0}, e;
    const char *rest = places ? places : "";
    bool asked = backend && *backend && strcmp(backend, "command");
    while (next_entry(&rest, &e)) {
        if (e.device_length && e.device[e.device_length - 1] == '+') {
            snprintf(out, size, "%.*s ran on %.*s and on another device", e.part_length, e.part, e.device_length - 1, e.device);
            return true;
        }
        if (asked && !on_backend(&e, backend)) {
            snprintf(out, size, "asked for %s, but %.*s ran on %.*s", backend, e.part_length, e.part, e.device_length, e.device);
            return true;
        }
        if (!first.part)
            first = e;
        if (e.device_length != first.device_length || strncmp(e.device, first.device, (size_t)e.device_length)) {
            snprintf(out, size, "%.*s ran on %.*s, %.*s on %.*s", first.part_length, first.part, first.device_length, first.device,
                     e.part_length, e.part, e.device_length, e.device);
            return true;
        }
    }
    return false;
}

static void report_row(void *self, const hm_place_row *row)
{
    char remark[256];
    if (hm_places_remark(row->places, row->backend, remark, sizeof remark))
        fprintf(self, "%s: %s\n", row->arm, remark);
}

hm_status hm_places_report(hm_store *store, const char *session_id, FILE *file, hm_error *err)
{
    return hm_store_each_place(store, session_id, report_row, file, err);
}
