/*
 * check_small: the part of libcheck that the GPU's tests use.
 *
 * Every test runs in a child, so that one that dies costs no other; as with
 * libcheck not with CK_FORK=no, for debuggers and all that watches a process.
 */
#ifndef BUSI_TESTS_CHECK_SMALL_H
#define BUSI_TESTS_CHECK_SMALL_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    const char *name;
    void (*run)(void);
} TTest;

typedef struct {
    const TTest *test[64];
    int n, failed;
    unsigned seconds;
    const char *name;
} Suite;
typedef Suite TCase;
typedef Suite SRunner;

enum { CK_ENV };

#define START_TEST(test)                                        \
    static void test##_run(void);                               \
    static const TTest test##_test = { #test, test##_run };     \
    static const TTest *const test = &test##_test;              \
    static void test##_run(void)
#define END_TEST

#define ck_assert_msg(what, ...)                                \
    do {                                                        \
        if (!(what)) {                                          \
            printf("%s:%d: ", __FILE__, __LINE__);              \
            printf(__VA_ARGS__);                                \
            printf("\n");                                       \
            fflush(stdout);                                     \
            _exit(1);                                           \
        }                                                       \
    } while (0)
#define ck_assert(what) ck_assert_msg(what, "not so: %s", #what)
#define ck_assert_double_eq_tol(a, b, most) \
    ck_assert_msg(fabs((a) - (b)) < (most), "%g is not %g", (double)(a), \
                  (double)(b))
#define ck_assert_int_eq(a, b) \
    ck_assert_msg((a) == (b), "%s is %lld", #a, (long long)(a))
#define ck_assert_uint_eq(a, b) ck_assert_int_eq(a, b)
#define ck_assert_int_ge(a, b) \
    ck_assert_msg((a) >= (b), "%s is %lld", #a, (long long)(a))
#define ck_assert_int_gt(a, b) \
    ck_assert_msg((a) > (b), "%s is %lld", #a, (long long)(a))
#define ck_assert_str_eq(a, b) \
    ck_assert_msg(strcmp(a, b) == 0, "'%s' is not '%s'", a, b)

/* One object plays suite, case and runner. */
static inline Suite *
suite_create(const char *name)
{
    static Suite all;

    all.name = name;
    return &all;
}

static inline TCase *
tcase_create(const char *name)
{
    return suite_create(name);
}

static inline void
tcase_set_timeout(TCase *c, unsigned seconds)
{
    c->seconds = seconds;
}

static inline void
tcase_add_test(TCase *c, const TTest *t)
{
    c->test[c->n++] = t;
}

static inline void
suite_add_tcase(Suite *s, TCase *c)
{
    (void)s;
    (void)c;
}

static inline SRunner *
srunner_create(Suite *s)
{
    return s;
}

static inline void
srunner_run_all(SRunner *r, int how)
{
    (void)how;
    for (int i = 0; i < r->n; i++) {
        int status = 0;
        pid_t child;

        fflush(stdout);
        child = check_forks() ? fork() : 0;
        if (child == 0) {
            alarm(r->seconds);
            r->test[i]->run();
            fflush(stdout);
        }
        if (child == 0 && check_forks())
            _exit(0);
        if (child != 0)
            waitpid(child, &status, 0);
        r->failed += status != 0;
        printf("%s: %s\n", r->test[i]->name, status == 0 ? "ok" : "FAILED");
    }
    printf("%s: %d of %d failed\n", r->name, r->failed, r->n);
}

static inline int
srunner_ntests_failed(const SRunner *r)
{
    return r->failed;
}

static inline void
srunner_free(SRunner *r)
{
    (void)r;
}

#endif
