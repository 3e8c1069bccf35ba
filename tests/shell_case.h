/* Shells on a terminal: what a line becomes when its TABs are typed. For tests of completion. */
#ifndef HM_TESTS_SHELL_CASE_H
#define HM_TESTS_SHELL_CASE_H

#include <pty.h>
#include <sys/stat.h>

#include "tests/cli_case.h"

/* A shell on a terminal that is told lines, the last one with its TABs, then `exit`. The completed command is hmbench of the test's
 * folder: a script that answers for completion as the real one does and writes down what else it is given. */
static inline void type_into(char *const argv[], const char *lines)
{
    int terminal, status = 0;
    char said[1 << 16];
    size_t used = 0;
    bool typed = false;
    pid_t child = forkpty(&terminal, NULL, NULL, &(struct winsize){50, 200, 0, 0});
    if (child == 0) {
        setenv("TERM", "xterm", 1);
        setenv("HOME", folder, 1);
        setenv("XDG_CONFIG_HOME", folder, 1);
        setenv("XDG_DATA_HOME", folder, 1);
        setenv("PS1", "ready> ", 1);
        setenv("ZDOTDIR", folder, 1);
        if (!chdir(folder))
            execvp(argv[0], argv);
        _exit(127);
    }
    assert_true(child > 0);
    double start = run_now(), quiet = start;
    while (run_now() - start < 60) {
        struct pollfd p = {terminal, POLLIN, 0};
        int ready = poll(&p, 1, 50);
        ssize_t n = ready > 0 && used < sizeof said - 1 ? read(terminal, said + used, sizeof said - 1 - used) : 0;
        if (ready > 0 && n <= 0)
            break; /* it has ended */
        used += (size_t)n;
        quiet = n > 0 ? run_now() : quiet;
        if (used && run_now() - quiet > 0.25 && *lines) { /* a line, or what stands before a TAB, at a time; then it may think */
            size_t size = strcspn(lines, "\t\r");
            size += lines[size] != 0;
            assert_int_equal(write(terminal, lines, size), size);
            lines += size;
            quiet = run_now() + (lines[-1] == '\t' ? 0.15 : 0);
            typed = true;
        }
    }
    said[used] = 0;
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    close(terminal);
    if (*lines || !typed)
        print_error("%s did not come to its end:\n%s\n", argv[0], said);
}

/* Begins with these lines, types each place and compares the words that the command got. */
static inline void check_shell(char *const argv[], const char *first)
{
    static const struct {
        const char *typed, *got;
    } places[] = {
        {"hmbench gener\t\r", "generate|"},
        {"hmbench list vari\t\r", "list|variants|"},
        {"hmbench generate --temp\t1\r", "generate|--temperature|1|"},
        {"hmbench generate --isa avx5\t\r", "generate|--isa|avx512|"},
        {"hmbench generate --isa=avx5\t\r", "generate|--isa=avx512|"},
        {"hmbench suite --variant best:atte\x7f\tfla\t\r", "suite|--variant|best:attn=flash|"},
        {"hmbench suite --variant=naive,best:attn=fla\t\r", "suite|--variant=naive,best:attn=flash|"},
        {"hmbench suite -V best:attn=flash,naiv\t\r", "suite|-V|best:attn=flash,naive|"},
        {"hmbench suite -a flow_st\t5\r", "suite|-a|flow_steps=5|"},
        {"hmbench plot tradeo\t\r", "plot|tradeoff|"},
        {"hmbench db pru\t\r", "db|prune|"},
    };
    char all[4096];
    snprintf(all, sizeof all, "%s", first);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        strcat(all, places[i].typed);
    strcat(all, "exit\r");
    unlink(in_folder("got"));
    type_into(argv, all);
    hm_map map = {0};
    hm_error err;
    assert_int_equal(hm_map_open(&map, in_folder("got"), &err), HM_OK);
    char *got = strndup((const char *)map.data, map.size), *save = NULL, *line = strtok_r(got, "\n", &save);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++, line = strtok_r(NULL, "\n", &save)) {
        size_t n = line ? strlen(line) : 0;
        while (n > 1 && line[n - 1] == '|' && line[n - 2] == '|')
            line[--n] = 0;
        if (!line || strcmp(line, places[i].got))
            fail_msg("%s: %s\nexpected %s\nfound    %s", argv[0], places[i].typed, places[i].got, line ? line : "nothing");
    }
    free(got);
    hm_map_close(&map);
}

static inline int make_shell_folder(void **state)
{
    (void)state;
    char text[1000], path[4096];
    if (make_case_folder_and_cache())
        return 1;
    int n = snprintf(text, sizeof text,
                     "#!/bin/sh\n[ \"$1\" = completion ] && exec '%s' \"$@\"\n"
                     "for w in \"$@\"; do printf '%%s|' \"$w\"; done >>'%s'\necho >>'%s'\n",
                     HM_PROGRAM, in_folder("got"), in_folder("got"));
    put("hmbench", text, (size_t)n);
    snprintf(path, sizeof path, "%s:%s", folder, getenv("PATH"));
    return chmod(in_folder("hmbench"), 0755) || setenv("PATH", path, 1);
}

#endif
