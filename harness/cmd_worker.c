#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "harness/commands.h"
#include "harness/worker.h"

hm_status hm_cmd_worker(const hm_command *self, int argc, char **argv, hm_error *err)
{
    const hm_option options[] = {{0}};
    bool helped;
    hm_status st = hm_options_parse(self, options, argc, argv, NULL, 0, &helped, err);
    if (st || helped)
        return st;
    /* Whatever a library prints goes to stderr: what was standard output carries the protocol alone. */
    int in = dup(0), out = dup(1);
    if (in < 0 || out < 0 || dup2(2, 1) < 0)
        return hm_fail(err, HM_EIO, "worker: %s", strerror(errno));
    st = hm_worker_serve(in, out, err);
    close(out);
    return st;
}
