#include <stdio.h>
#include <string.h>

#include "harness/doctor.h"
#include "harness/peers.h"

static const char *text_of(const json_t *about, const char *key)
{
    const char *text = json_string_value(json_object_get(about, key));
    return text ? text : "";
}

/* An environment, by the first peer of it; `users`: the names of all. */
static void look_at_environment(hm_doctor *d, const hm_peer *first, const char *users)
{
    char name[32], folder[HM_MODEL_PATH] = "", advice[300], lacks[300] = "", versions[64] = "";
    hm_error err = {0};
    hm_status st = HM_OK;
    hm_peer_state state = hm_peer_look(first);
    snprintf(name, sizeof name, "peers: %s", first->environment);
    snprintf(advice, sizeof advice, "`hmbench peers install %s`", first->name);
    if (state == HM_PEER_ABSENT) {
        hm_doctor_add(d, name, HM_NOTE, NULL, advice, "not installed; it is for --arm %s", users);
        return;
    }
    hm_peer_folder(first, folder, NULL);
    for (const hm_peer *p = first; p->name && !st && state == HM_PEER_READY; p++) {
        json_t *about = NULL;
        if (!p->environment || strcmp(p->environment, first->environment))
            continue;
        st = hm_peer_about(p, &about, &err);
        if (!*lacks && *text_of(about, "remark"))
            snprintf(lacks, sizeof lacks, "%s: %.250s", p->name, text_of(about, "remark"));
        if (strlen(text_of(about, "versions")) > strlen(versions))
            snprintf(versions, sizeof versions, "%s", text_of(about, "versions"));
        json_decref(about);
    }
    if (state != HM_PEER_READY)
        hm_doctor_add(d, name, HM_NOTE, NULL, advice, "%s is of other versions than are pinned, or not whole", folder);
    else if (st)
        hm_doctor_add(d, name, HM_NOTE, NULL, advice, "does not work: %s", err.text);
    else
        hm_doctor_add(d, name, *lacks ? HM_NOTE : HM_FINE, versions, lacks, "for --arm %s", users);
}

void hm_doctor_peers(hm_doctor *d)
{
    d->area = "tools";
    for (const hm_peer *p = hm_peers; p->name; p++) {
        char users[200] = "";
        bool first = p->environment != NULL;
        for (const hm_peer *q = hm_peers; first && q->name; q++) {
            size_t used = strlen(users);
            if (!q->environment || strcmp(q->environment, p->environment))
                continue;
            first = q >= p;
            snprintf(users + used, sizeof users - used, "%s%s", used ? ", " : "", q->name);
        }
        if (first)
            look_at_environment(d, p, users);
    }
}
