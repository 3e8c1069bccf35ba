/* Other people's engines as arms: adapters (harness/adapters, small Python programs that speak the worker protocol), each in a virtual
 * environment of its own in the cache. */
#ifndef HM_HARNESS_PEERS_H
#define HM_HARNESS_PEERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "engine/base/error.h"
#include "harness/model.h"

typedef struct hm_peer {
    const char *name;
    const char *task; /* of cases that it makes */
    const char
        *environment; /* several may share one: harness/adapters/requirements/ENVIRONMENT.txt; NULL: the user's own, named by an option */
    const char *program; /* in harness/adapters, with its options */
    const char *text;
} hm_peer;

/* Ended by a row without a name. */
extern const hm_peer hm_peers[];

const hm_peer *hm_peer_find(const char *name);

typedef enum hm_peer_state {
    HM_PEER_ABSENT, /* no environment */
    HM_PEER_OTHER,  /* made from other versions than this hmbench pins, or not to its end */
    HM_PEER_READY,
    HM_PEER_OWN /* nothing to install here: its packages are the user's */
} hm_peer_state;

hm_peer_state hm_peer_look(const hm_peer *peer);

/* Folder of its environment in the cache; made or not. Requirements: the file that pins its versions. HM_EMISSING: there are no adapters.
 * Of peers with an environment. */
hm_status hm_peer_folder(const hm_peer *peer, char out[HM_MODEL_PATH], hm_error *err);
hm_status hm_peer_requirements(const hm_peer *peer, char out[HM_MODEL_PATH], hm_error *err);

/* For /bin/sh: the adapter, with these options behind its own ("": none). HM_EABSENT: it is not installed. */
hm_status hm_peer_command(const hm_peer *peer, const char *options, char *out, size_t size, hm_error *err);

/* The command of "NAME=COMMAND" where COMMAND may be "peer:PEER OPTIONS"; and of a peer's name alone. *name_size: bytes of NAME. malloc'ed. */
hm_status hm_peer_arm(const char *text, size_t *name_size, char **command, hm_error *err);

/* Makes the environment: Python's venv and pip, which takes packages from where its own configuration says. say gets each line. */
hm_status hm_peer_install(const hm_peer *peer, void (*say)(const char *line), hm_error *err);

/* What the installed adapter says of itself, in a fraction of a second: versions, threads, precision, settings, and as "remark" what it
 * lacks to work here. New reference. */
hm_status hm_peer_about(const hm_peer *peer, json_t **about, hm_error *err);

#endif
