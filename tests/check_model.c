/*
 * Models as files, and what infer makes of them.
 *
 * With arguments this is no test but writes a model for the shell tests:
 *
 *     check_model OUT NET SEED CLASS,CLASS,... RECIPE [KEY=VALUE...]
 *
 * NET is "tiny" or a network's name; keys are temperature, fold, folds, select
 * and seen, a file with one SHA-256 a line.
 */
#include "check.h"

#include "base/file.h"
#include "base/mem.h"
#include "data/safet.h"
#include "learn/infer.h"
#include "learn/model.h"
#include "model/init.h"
#include "model/nets.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RECIPE "resize=40x40 crop=36 channels=1 mean=0.5 std=0.25"

/* Answers differ from scan to scan, also before training. */
static const char tiny[] =
    "input x channels=1 size=32\n"
    "conv c1 x out=8 kernel=3 stride=2 pad=1\n"
    "bn b1 c1\n"
    "relu r1 b1\n"
    "conv c2 r1 out=16 kernel=3 stride=2 pad=1\n"
    "relu r2 c2\n"
    "avgpool pool r2 size=4\n"
    "linear fc pool out=3 std=0.2\n";

static char path[64];

/* Outside a test, libcheck's own would not do. */
static void
must(int rc, const struct err *e)
{
    if (rc == 0)
        return;
    fprintf(stderr, "%s\n", e->text);
    abort();
}

static void
make(struct model *m, const char *net, int64_t seed, const char *classes,
     const char *recipe)
{
    struct net_conf c = { .dropout = -1 };
    struct err e = { 0 };

    memset(m, 0, sizeof *m);
    str_list_split(&m->classes, classes, ',');
    must(recipe_parse(&m->recipe, recipe, &e), &e);
    c.channels = m->recipe.channels;
    c.size = m->recipe.crop;
    c.classes = (int)m->classes.n;
    must(strcmp(net, "tiny") == 0 ? graph_parse(&m->graph, "tiny", tiny, &e)
                                  : net_build(&m->graph, net, &c, &e), &e);
    m->params = mem_aligned(m->graph.nparams, sizeof *m->params);
    m->buffers = mem_aligned(m->graph.nbuffers, sizeof *m->buffers);
    init_params(&m->graph, (uint64_t)seed, m->params, m->buffers);
    m->temperature = 1;
    m->from.fold = m->epoch = -1;
    m->seed = seed;
}

static void
make_tiny(struct model *m)
{
    make(m, "tiny", 1, "a,b,c", RECIPE);
}

static void
save(struct model *m)
{
    struct err e = { 0 };

    ck_assert_msg(model_save(m, path, &e) == 0, "%s", e.text);
}

static void
setup(void)
{
    snprintf(path, sizeof path, "check_model.%ld", (long)getpid());
}

START_TEST(round_trip)
{
    static const uint8_t seen[3][32] = { { 9 }, { 1 }, { 1, 2 } };
    static const uint8_t other[32] = { 1, 1 };
    struct err e = { 0 };
    struct model a, b;

    setup();
    make_tiny(&a);
    a.temperature = 1.25;
    a.from.fold = 2;
    a.epoch = 7;
    a.command = mem_strdup("busi-train \"x\"\n");
    memcpy(a.from.select, "val", 4);
    memset(a.from.folds, 'f', 64);
    a.from.nseen = 3;
    a.from.seen = mem_array(3, 32);
    memcpy(a.from.seen, seen, sizeof seen);
    save(&a);
    ck_assert_msg(model_open(&b, path, &e) == 0, "%s", e.text);
    ck_assert_mem_eq(a.params, b.params, 4 * a.graph.nparams);
    ck_assert_mem_eq(a.buffers, b.buffers, 4 * a.graph.nbuffers);
    ck_assert_str_eq(a.digest, b.digest);
    ck_assert_str_eq(a.from.folds, b.from.folds);
    ck_assert_str_eq(b.from.dataset, "");
    ck_assert_str_eq(b.from.select, "val");
    ck_assert_str_eq(b.command, a.command);
    ck_assert_str_eq(b.graph.name, "tiny");
    ck_assert_uint_eq(b.classes.n, 3);
    ck_assert_str_eq(b.classes.item[2], "c");
    ck_assert_double_eq(b.temperature, 1.25);
    ck_assert_int_eq(b.from.fold, 2);
    ck_assert_int_eq(b.epoch, 7);
    ck_assert_int_eq(b.seed, 1);
    for (int i = 0; i < 3; i++)
        ck_assert(provenance_has_seen(&b.from, seen[i]));
    ck_assert(!provenance_has_seen(&b.from, other));
    /* The digest follows the numbers. */
    a.params[5] += 1;
    save(&a);
    ck_assert_str_ne(a.digest, b.digest);
    model_release(&a);
    model_release(&b);
    unlink(path);
}
END_TEST

/* As torchvision 0.24 names them; shapes as PyTorch prints them. */
START_TEST(names)
{
    const struct safet_tensor *t;
    struct err e = { 0 };
    struct safet s;
    struct model m;

    setup();
    make(&m, "resnet18", 1, "a,b,c",
         "resize=64 crop=64 channels=1 mean=0.5 std=0.5");
    save(&m);
    ck_assert_msg(safet_open(&s, path, &e) == 0, "%s", e.text);
    ck_assert_uint_eq(s.ntensors, 102 + 1);     /* without counters, + seen */
    t = safet_find(&s, "layer2.0.downsample.0.weight");
    ck_assert_ptr_nonnull(t);
    ck_assert_int_eq(t->ndims, 4);
    ck_assert_int_eq(t->dims[0], 128);
    ck_assert_int_eq(t->dims[1], 64);
    ck_assert_int_eq(t->dims[2], 1);
    t = safet_find(&s, "fc.weight");
    ck_assert_int_eq(t->dims[0], 3);
    ck_assert_int_eq(t->dims[1], 512);
    ck_assert_ptr_nonnull(safet_find(&s, "bn1.running_var"));
    ck_assert_str_eq(safet_need_meta(&s, "kind", &e), "model");
    safet_close(&s);
    model_release(&m);
    unlink(path);
}
END_TEST

static void
refused(const char *words)
{
    struct err e = { 0 };
    struct model m;

    ck_assert_msg(model_open(&m, path, &e) == -1, "opened: %s", words);
    ck_assert_int_eq(e.status, EXIT_INVALID);
    ck_assert_msg(strstr(e.text, words) != NULL, "%s", e.text);
    ck_assert_msg(strstr(e.text, path) != NULL, "%s", e.text);
}

START_TEST(damaged)
{
    struct file_map map;
    struct err e = { 0 };
    struct model m;
    char *copy;
    size_t n;

    setup();
    make_tiny(&m);
    save(&m);
    model_release(&m);
    ck_assert_int_eq(file_map(&map, path, &e), 0);
    n = map.nbytes;
    copy = mem_alloc(n);
    memcpy(copy, map.data, n);
    file_unmap(&map);
    for (size_t cut = 0; cut < n; cut += cut < 2000 ? 97 : 1009) {
        ck_assert_int_eq(truncate(path, (off_t)cut), 0);
        refused("cannot be read as safetensors");
    }
    for (size_t at = 8; at < n; at += 331) {
        int fd = open(path, O_WRONLY | O_TRUNC);

        copy[at] ^= 4;
        ck_assert_int_eq(write(fd, copy, n), (ssize_t)n);
        close(fd);
        copy[at] ^= 4;
        refused("");
    }
    free(copy);
    unlink(path);
}
END_TEST

/* What a tensor file of this kind may say wrong though its CRCs are right. */
struct twist {
    const char *key, *value;    /* of the metadata; NULL: that key is gone */
    const char *words;
};

static void
save_twisted(const struct model *m, const struct twist *w, const char *drop,
             const char *add, int64_t rows)
{
    static const char *const meta[][2] = {
        { "format", "1" }, { "kind", "model" }, { "name", "tiny" },
        { "classes", "a\tb\tc" }, { "recipe", RECIPE },
        { "temperature", "1" }, { "graph", tiny }
    };
    uint8_t seen[64] = { 2 };
    int64_t dims[4] = { rows, 32 };
    struct err e = { 0 };
    struct safet_out o;

    ck_assert_int_eq(safet_create(&o, path, 9000, &e), 0);
    for (int i = 0; i < m->graph.nentries; i++) {
        const struct param *p = &m->graph.param[i];

        if (drop == NULL || strcmp(p->name, drop) != 0)
            safet_put(&o, p->name, DT_F32, p->ndims, p->dims,
                      (p->buffer ? m->buffers : m->params) + p->offset);
    }
    safet_put(&o, "seen", DT_U8, 2, dims, seen);
    dims[0] = 1;
    if (add != NULL)
        safet_put(&o, add, DT_U8, 1, dims, "");
    for (size_t i = 0; i < ARRAY_LEN(meta); i++)
        if (w == NULL || strcmp(meta[i][0], w->key) != 0)
            safet_set(&o, meta[i][0], meta[i][1]);
        else if (w->value != NULL)
            safet_set(&o, w->key, w->value);
    ck_assert_msg(safet_commit(&o, &e) == 0, "%s", e.text);
}

START_TEST(twisted)
{
    static const struct twist twists[] = {
        { "kind", "dataset", "is a dataset file, not a model file" },
        { "format", "2", "has format 2" },
        { "graph", NULL, "no 'graph' in its metadata" },
        { "graph", "input x channels=1 size=32\nturn t x\n", "line 2" },
        { "graph", "input x channels=1 size=32\navgpool p x size=1\n"
          "linear fc p out=3\n", "other tensors than its network" },
        { "classes", "a\tb", "not one output for each class" },
        { "classes", "a\tb\ta", "no name or that of another" },
        { "temperature", "0", "its temperature" },
        { "temperature", "nan", "its temperature" },
        { "recipe", "resize=30x30 crop=30 channels=1 mean=0.5 std=0.25",
          "does not make what its network takes" },
        { "recipe", "resize=40x40 crop=36 channels=3 mean=0.5 std=0.25",
          "does not make what its network takes" },
        { "recipe", "resize=40x40", "a recipe has" },
    };
    struct err e = { 0 };
    struct model m, good;

    setup();
    make_tiny(&m);
    save_twisted(&m, NULL, NULL, NULL, 1);
    ck_assert_msg(model_open(&good, path, &e) == 0, "%s", e.text);
    ck_assert_int_eq(good.from.fold, -1);
    model_release(&good);
    for (size_t i = 0; i < ARRAY_LEN(twists); i++) {
        save_twisted(&m, &twists[i], NULL, NULL, 1);
        refused(twists[i].words);
    }
    save_twisted(&m, NULL, "fc.bias", "fc.bias", 1);
    refused("'fc.bias' has another type or shape");
    save_twisted(&m, NULL, "fc.bias", "fc.bios", 1);
    refused("has no tensor 'fc.bias'");
    save_twisted(&m, NULL, NULL, "extra", 1);
    refused("other tensors than its network");
    save_twisted(&m, NULL, NULL, NULL, 2);
    refused("'seen' is not sorted");
    model_release(&m);
    unlink(path);
}
END_TEST

static void
disagree(const struct model *a, const char *classes, const char *recipe,
         const char *words)
{
    struct err e = { 0 };
    struct model b;

    make(&b, "tiny", 2, classes, recipe);
    ck_assert_int_eq(model_agree(a, "one", &b, "two", &e),
                     words == NULL ? 0 : -1);
    if (words != NULL) {
        ck_assert_int_eq(e.status, EXIT_INVALID);
        ck_assert_msg(strstr(e.text, "'one' and 'two'") != NULL &&
                      strstr(e.text, words) != NULL, "%s", e.text);
    }
    model_release(&b);
}

START_TEST(agree)
{
    struct model m;

    make_tiny(&m);
    disagree(&m, "a,b,c", RECIPE, NULL);
    disagree(&m, "a,c,b", RECIPE, "classes");
    disagree(&m, "a,b,d", RECIPE, "classes");
    disagree(&m, "a,b,c", "resize=40x40 crop=38 channels=1 mean=0.5 std=0.25",
             "recipe");
    model_release(&m);
}
END_TEST

/* ------------------------------------------------------------------- infer */

enum { SIDE = 36, N = 5, K = 3 };

static void
draw(uint8_t *px)
{
    for (int i = 0; i < N * SIDE * SIDE; i++)
        px[i] = (uint8_t)(i * 7 % 251 + i / 1300 * 17);
}

static void
infer(struct model *const *m, int n, int batch, int views, const uint8_t *px,
      float *probs)
{
    struct backend_conf c = { .dtype = DTYPE_F32, .device = -1 };
    struct err e = { 0 };
    struct infer in;

    ck_assert_msg(infer_open(&in, m, n, "ref", &c, batch, &e) == 0, "%s",
                  e.text);
    in.views = views;
    for (int at = 0; at < N; at += batch) {
        int some = N - at < batch ? N - at : batch;

        ck_assert_int_eq(infer_run(&in, some, px + at * SIDE * SIDE,
                                   probs + at * K, &e), 0);
    }
    infer_close(&in);
}

START_TEST(average)
{
    uint8_t px[N * SIDE * SIDE], mirror[N * SIDE * SIDE];
    float p[N * K], q[N * K], both[N * K];
    struct model a, b, *models[2] = { &a, &b };

    make_tiny(&a);
    make(&b, "tiny", 2, "a,b,c", RECIPE);
    draw(px);
    infer(models, 1, N, 1, px, p);
    infer(models + 1, 1, N, 1, px, q);
    ck_assert(fabsf(p[0] - p[K]) > 1e-4 && fabsf(p[0] - q[0]) > 1e-4);
    /* Batches are no business of a picture. */
    for (int batch = 1; batch < N; batch++) {
        infer(models, 1, batch, 1, px, both);
        for (int i = 0; i < N * K; i++)
            ck_assert_float_eq_tol(both[i], p[i], 1e-6f);
    }
    infer(models, 2, 2, 1, px, both);
    for (int i = 0; i < N * K; i++)
        ck_assert_float_eq_tol(both[i], (p[i] + q[i]) / 2, 1e-6f);
    /* View 1 is the mirror image. */
    for (int i = 0; i < N * SIDE * SIDE; i++)
        mirror[i - i % SIDE + SIDE - 1 - i % SIDE] = px[i];
    infer(models, 1, N, 1, mirror, q);
    infer(models, 1, 3, 2, px, both);
    for (int i = 0; i < N * K; i++)
        ck_assert_float_eq_tol(both[i], (p[i] + q[i]) / 2, 1e-6f);
    infer(models, 1, N, INFER_VIEWS, px, q);
    ck_assert(fabsf(q[0] - both[0]) > 1e-6);
    /* Probabilities p^(1/2), normalised: softmax of half the logits. */
    a.temperature = 2;
    infer(models, 1, N, 1, px, q);
    for (int i = 0; i < N * K; i += K) {
        float sum = sqrtf(p[i]) + sqrtf(p[i + 1]) + sqrtf(p[i + 2]);

        for (int k = 0; k < K; k++)
            ck_assert_float_eq_tol(q[i + k], sqrtf(p[i + k]) / sum, 1e-6f);
    }
    model_release(&a);
    model_release(&b);
}
END_TEST

/* --------------------------------------------------- a model for shell tests */

static void
read_seen(struct model *m, const char *file)
{
    struct str_list lines = { 0 };
    struct err e = { 0 };
    char *text;
    size_t nbytes;

    must(file_read(file, &text, &nbytes, &e), &e);
    str_list_split(&lines, text, '\n');
    m->from.seen = mem_array(lines.n, DIGEST_BYTES);
    for (size_t i = 0; i < lines.n; i++)
        m->from.nseen += digest_unhex(lines.item[i], m->from.seen +
                                      m->from.nseen * DIGEST_BYTES);
    str_list_release(&lines);
    free(text);
}

static int
write_model(int argc, char **argv)
{
    struct err e = { 0 };
    struct model m;
    int64_t seed = 1;

    str_int(argv[3], &seed);
    make(&m, argv[2], seed, argv[4], argv[5]);
    for (int i = 6; i < argc; i++) {
        const char *value = strchr(argv[i], '=') + 1;

        if (strncmp(argv[i], "temperature", 11) == 0)
            str_real(value, &m.temperature);
        else if (strncmp(argv[i], "folds", 5) == 0)
            snprintf(m.from.folds, sizeof m.from.folds, "%s", value);
        else if (strncmp(argv[i], "fold", 4) == 0)
            str_int(value, &m.from.fold);
        else if (strncmp(argv[i], "select", 6) == 0)
            snprintf(m.from.select, sizeof m.from.select, "%s", value);
        else if (strncmp(argv[i], "nan", 3) == 0)
            m.params[0] = NAN;
        else if (strncmp(argv[i], "huge", 4) == 0)  /* no sum is a number */
            for (size_t k = 0; k < m.graph.nparams; k++)
                m.params[k] = k % 2 ? 3e38f : -3e38f;
        else
            read_seen(&m, value);
    }
    must(model_save(&m, argv[1], &e), &e);
    model_release(&m);
    return 0;
}

CHECK_SUITE(run_suite, "model", 60, round_trip, names, damaged, twisted,
            agree, average)

int
main(int argc, char **argv)
{
    return argc > 5 ? write_model(argc, argv) : run_suite();
}
