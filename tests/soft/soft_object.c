/* Handles: what they are of, whether it lives. */
#include "tests/soft/soft_common.h"

#include <stdlib.h>

#define MAGIC 0x68736f66u
#define KEPT 4096 /* destroyed objects whose use still shows */

static struct {
    pthread_mutex_t lock;
    uint64_t alive[SOFT_MOST_KINDS];
    void *dead[KEPT];
    size_t next;
} objects = {.lock = PTHREAD_MUTEX_INITIALIZER};

void *hm_soft_new(int kind, size_t bytes)
{
    soft_object *o = calloc(1, bytes);
    if (!o)
        return NULL;
    *o = (soft_object){.magic = MAGIC, .kind = kind, .alive = true};
    pthread_mutex_lock(&objects.lock);
    objects.alive[kind]++;
    pthread_mutex_unlock(&objects.lock);
    return o;
}

void hm_soft_retire(void *object)
{
    soft_object *o = object;
    pthread_mutex_lock(&objects.lock);
    o->alive = false;
    objects.alive[o->kind]--;
    free(objects.dead[objects.next]);
    objects.dead[objects.next] = o;
    objects.next = (objects.next + 1) % KEPT;
    pthread_mutex_unlock(&objects.lock);
}

int hm_soft_take(void **out, const void *handle, int kind)
{
    const soft_object *o = handle;
    if (!o) {
        hm_soft_misuse("%s: the handle is NULL", hm_soft_kind_names[kind]);
        return hm_soft_is.null_handle;
    }
    if (o->magic != MAGIC)
        return hm_soft_misuse("%s: %p is no handle", hm_soft_kind_names[kind], handle);
    if (o->kind != kind)
        return hm_soft_misuse("%s: the handle is of another thing, %s", hm_soft_kind_names[kind], hm_soft_kind_names[o->kind]);
    if (!o->alive)
        return hm_soft_misuse("%s: it was destroyed", hm_soft_kind_names[kind]);
    *out = (void *)handle;
    return 0;
}

uint64_t hm_soft_objects_alive(int kind)
{
    pthread_mutex_lock(&objects.lock);
    uint64_t alive = objects.alive[kind];
    pthread_mutex_unlock(&objects.lock);
    return alive;
}

__attribute__((destructor)) static void forget(void)
{
    for (size_t i = 0; i < KEPT; i++)
        free(objects.dead[i]);
}
