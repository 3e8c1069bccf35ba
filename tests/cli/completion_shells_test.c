/* Completion in the shells that few machines have: real ones on a terminal. */
#define _GNU_SOURCE /* pipe2 */
#include "tests/shell_case.h"

static void zsh_completes_on_a_terminal(void **state)
{
    (void)state;
    check_shell((char *const[]){(char *)"zsh", (char *)"-f", (char *)"-i", NULL},
                "autoload -U compinit; compinit -u -D\rsource <(hmbench completion zsh)\r");
}

static void zsh_completes_from_its_folder(void **state)
{
    (void)state;
    check_shell((char *const[]){(char *)"zsh", (char *)"-f", (char *)"-i", NULL},
                "mkdir -p functions; hmbench completion zsh >functions/_hmbench; fpath=($PWD/functions $fpath)\r"
                "autoload -U compinit; compinit -u -D\r");
}

static void fish_completes_on_a_terminal(void **state)
{
    (void)state;
    check_shell((char *const[]){(char *)"fish", (char *)"-i", NULL}, "hmbench completion fish | source\r");
}

/* Whoever took the colon out of its word breaks. */
static void bash_completes_where_colons_are_letters(void **state)
{
    (void)state;
    check_shell((char *const[]){(char *)"bash", (char *)"--norc", (char *)"-i", NULL},
                "COMP_WORDBREAKS=${COMP_WORDBREAKS//:}; source <(hmbench completion bash)\r");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(zsh_completes_on_a_terminal), cmocka_unit_test(zsh_completes_from_its_folder),
                                       cmocka_unit_test(fish_completes_on_a_terminal),
                                       cmocka_unit_test(bash_completes_where_colons_are_letters)};
    return cmocka_run_group_tests(tests, make_shell_folder, remove_folder);
}
