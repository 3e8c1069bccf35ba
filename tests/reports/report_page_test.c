/* The page of `hmbench report` in a real browser without network: nothing goes wrong in it, nothing is loaded, its tables sort. */
#define _GNU_SOURCE /* pipe2 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/cli_case.h"
#include "tests/planted_case.h"

static const char *browser; /* NULL: there is none */

static int setup(void **state)
{
    static const char *const places[] = {"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"};
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places && !browser; i++)
        browser = access(places[i], X_OK) ? NULL : places[i];
    if (make_case_folder())
        return 1;
    plant_session(in_folder("planted.db"));
    return 0;
}

/* A page in the folder, loaded: its document as it is then, and what the console said on stderr. */
static hm_run browse(const char *name)
{
    char url[300], profile[300];
    snprintf(url, sizeof url, "file://%s", in_folder(name));
    snprintf(profile, sizeof profile, "--user-data-dir=%s", in_folder("profile"));
    char *argv[] = {(char *)(uintptr_t)browser,
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                    "--host-resolver-rules=MAP * ~NOTFOUND",
                    "--window-size=1280,900",
                    "--virtual-time-budget=3000",
                    "--enable-logging=stderr",
                    profile,
                    "--dump-dom",
                    url,
                    NULL};
    hm_run run = run_command(argv, NULL, 300, 0);
    if (run.code)
        fail_msg("%s: exit code %d: %s", browser, run.code, run.err);
    return run;
}

/* What runs at the end of the page: how many things were loaded, whether a click sorts numbers, what is seen. */
static const char probe[] =
    "<script>\n"
    "  const table = [...document.querySelectorAll('table')].find((t) => t.tHead.textContent.includes('Tok/s (mean)'));\n"
    "  const title = [...table.tHead.rows[0].cells].find((c) => c.textContent.includes('Tok/s'));\n"
    "  const values = () => [...table.tBodies[0].rows].map((r) => Number(r.cells[title.cellIndex].dataset.v));\n"
    "  const rising = (v) => v.every((x, i) => i == 0 || x >= v[i - 1]);\n"
    "  title.click();\n"
    "  const up = rising(values());\n"
    "  title.click();\n"
    "  const down = rising(values().reverse());\n"
    "  document.body.dataset.probe = ['loaded', performance.getEntriesByType('resource').length, 'up', up, 'down', down,\n"
    "    'rows', values().length, 'pictures', [...document.querySelectorAll('figure svg')].filter((s) => s.getBBox().width > 300).length > "
    "3,\n"
    "    'marks', [...document.querySelectorAll('svg use')].every((u) => document.querySelector(u.getAttribute('href'))),\n"
    "    'wide', document.documentElement.scrollWidth > innerWidth, 'injected', typeof injected].join(' ');\n"
    "</script>\n</body>";

/* The page with something before its end. */
static void put_with(const char *name, const char *text, const char *addition)
{
    const char *end = strstr(text, "</body>");
    char *page = NULL;
    assert_non_null(end);
    assert_true(asprintf(&page, "%.*s%s\n</html>\n", (int)(end - text), text, addition) > 0);
    put(name, page, strlen(page));
    free(page);
}

static void the_page_works_in_a_browser_and_loads_nothing(void **state)
{
    (void)state;
    if (!browser)
        skip();
    hm_run page = run_program("report", "--db", in_folder("planted.db"));
    assert_int_equal(page.code, 0);
    put_with("page.html", page.out, probe);
    hm_run seen = browse("page.html");
    if (strstr(seen.err, "CONSOLE"))
        fail_msg("the console says: %s", strstr(seen.err, "CONSOLE"));
    const char *found = strstr(seen.out, "data-probe=\"");
    if (!found)
        fail_msg("the page's end was not reached: %s", seen.err);
    if (!strstr(found, "\"loaded 0 up true down true rows 4 pictures true marks true wide false injected undefined\""))
        fail_msg("%.160s", found);
    run_free(&seen);
    run_free(&page);
}

/* The same eyes see what is wrong. */
static void what_goes_wrong_in_a_page_is_seen(void **state)
{
    (void)state;
    if (!browser)
        skip();
    hm_run page = run_program("report", "--db", in_folder("planted.db"));
    put_with("wrong.html", page.out, "<img src=\"https://example.invalid/x.png\" /><script>nothing.here();</script></body>");
    hm_run seen = browse("wrong.html");
    assert_non_null(strstr(seen.err, "Content Security Policy")); /* the picture was refused before anyone was asked */
    assert_non_null(strstr(seen.err, "ReferenceError"));
    run_free(&seen);
    run_free(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_works_in_a_browser_and_loads_nothing),
        cmocka_unit_test(what_goes_wrong_in_a_page_is_seen),
    };
    return cmocka_run_group_tests(tests, setup, remove_folder);
}
