/*
 * check.h: the frame of every tests/check_*.c (libcheck).
 *
 * A machine with a GPU may lack libcheck: in the GPU's tests check_small.h stands
 * in for the little of it that they use (CHECK_SMALL; pipelines/cuda.mk).
 */
#ifndef BUSI_TESTS_CHECK_H
#define BUSI_TESTS_CHECK_H

#include "base/log.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Does every test run in a child of its own? */
static inline bool
check_forks(void)
{
    const char *forks = getenv("CK_FORK");

    return forks == NULL || strcmp(forks, "no") != 0;
}

#ifdef CHECK_SMALL
#include "tests/check_small.h"
#else
#include <check.h>
#endif

/* A function that runs the tests named; a test may take up to `seconds`. */
#define CHECK_SUITE(function, suite, seconds, ...)                          \
    static int function(void)                                               \
    {                                                                       \
        const TTest *const tests[] = { __VA_ARGS__ };                       \
        Suite *s = suite_create(suite);                                     \
        TCase *c = tcase_create(suite);                                     \
        SRunner *r;                                                         \
        int failed;                                                         \
                                                                            \
        log_open("check_" suite);                                           \
        tcase_set_timeout(c, seconds);                                      \
        for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)         \
            tcase_add_test(c, tests[i]);                                    \
        suite_add_tcase(s, c);                                              \
        r = srunner_create(s);                                              \
        srunner_run_all(r, CK_ENV);                                         \
        failed = srunner_ntests_failed(r);                                  \
        srunner_free(r);                                                    \
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;                   \
    }

/* A main() that does that and nothing else. */
#define CHECK_MAIN(suite, seconds, ...)                                     \
    CHECK_SUITE(run_suite, suite, seconds, __VA_ARGS__)                     \
    int main(void) { return run_suite(); }

/*
 * Does `holds` hold?  Asked in a child, if the tests run in some: what it opens
 * (CUDA, cuDNN) would not survive the forks.
 */
static inline bool
check_in_child(bool (*holds)(void))
{
    int status = 0;
    pid_t child;

    if (!check_forks())
        return holds();
    child = fork();
    if (child == 0) {
        status = holds() ? 0 : 1;
        fflush(stdout);
        _exit(status);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* What main() returns where a test cannot be run at all (see run.sh). */
enum { CHECK_SKIP = 77 };

#endif
