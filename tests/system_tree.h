/* A folder that stands for "/" in tests of what reads /proc and /sys. */
#ifndef HM_TESTS_SYSTEM_TREE_H
#define HM_TESTS_SYSTEM_TREE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char tree[] = "/tmp/hmbench-tree-XXXXXX"; /* a template until make_tree */

static inline int make_tree(void **state)
{
    (void)state;
    return mkdtemp(tree) ? 0 : -1;
}

static inline int remove_tree(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r '%s'", tree);
    return system(command);
}

static inline void empty_tree(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'/proc '%s'/sys", tree, tree);
    assert_int_equal(system(command), 0);
}

static inline void put_file(const char *parent, const char *name, const char *text)
{
    char command[512], path[512];
    snprintf(command, sizeof command, "mkdir -p '%s/%s'", tree, parent);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof path, "%s/%s/%s", tree, parent, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

#endif
