/* What is said of files, and that no damage to one goes unnoticed. */
#include "check.h"

#include "base/mem.h"
#include "base/version.h"
#include "data/dataset.h"
#include "learn/describe.h"
#include "learn/model.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { N = 3, SIDE = 4, PIXELS = SIDE * SIDE };

static const char recipe[] = "resize=4x4 crop=4 channels=1 mean=0.5 std=0.5";
static char folder[32];

static void
setup(void)
{
    memcpy(folder, "/tmp/check_info.XXXXXX", 23);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void
teardown(void)
{
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}

/* `spoil` makes the digest in the metadata a wrong one. */
static void
make_dataset(const char *path, bool spoil)
{
    static const int64_t labels[N] = { 1, -1, 0 };
    static const int64_t shape[] = { N, SIDE, SIDE, 1 }, shas[] = { N, 32 };
    static const char ids[] = "b/2\0a/1\0c";
    const int64_t ids_n = sizeof ids;
    uint8_t px[N][PIXELS], sha[N][32] = { { 0 } };
    uint32_t crc[N];
    struct dataset_parts parts = { N, labels, crc, ids, sizeof ids,
                                   "benign\tmalignant", recipe };
    struct err e = { 0 };
    struct safet_out o;
    char hex[DIGEST_HEX];

    for (int i = 0; i < N; i++) {
        for (int k = 0; k < PIXELS; k++)
            px[i][k] = (uint8_t)(37 * i + 11 * k);
        crc[i] = (uint32_t)crc32_z(0, px[i], PIXELS);
    }
    dataset_digest(&parts, hex);
    hex[0] = spoil ? (char)(hex[0] == '0' ? '1' : '0') : hex[0];
    ck_assert_int_eq(safet_create(&o, path, 1400, &e), 0);
    safet_put(&o, "images", DT_U8, 4, shape, px);
    safet_put(&o, "labels", DT_I64, 1, shape, labels);
    safet_put(&o, "row_crc", DT_U32, 1, shape, crc);
    safet_put(&o, "sha256", DT_U8, 2, shas, sha);
    safet_put(&o, "ids", DT_U8, 1, &ids_n, ids);
    safet_set(&o, "format", BUSI_FORMAT);
    safet_set(&o, "kind", "dataset");
    safet_set(&o, "classes", parts.classes);
    safet_set(&o, "recipe", recipe);
    safet_set(&o, "content", hex);
    safet_set(&o, "command", "busi-prep by hand");
    ck_assert_msg(safet_commit(&o, &e) == 0, "%s", e.text);
}

static void
make_model(const char *path, const char *dataset)
{
    static const char text[] = "input x channels=1 size=4\n"
        "avgpool pool x size=2\n" "linear fc pool out=2\n";
    struct model m = { .temperature = 1.5, .epoch = 7, .seed = 1, .from = {
                           .nseen = 1, .fold = 2, .select = "val" } };
    struct err e = { 0 };

    ck_assert_msg(graph_parse(&m.graph, "tiny", text, &e) == 0, "%s", e.text);
    m.params = mem_aligned(m.graph.nparams, sizeof *m.params);
    m.buffers = mem_aligned(1, sizeof *m.buffers);
    for (size_t i = 0; i < m.graph.nparams; i++)
        m.params[i] = (float)i / 8;
    str_list_split(&m.classes, "benign,malignant", ',');
    ck_assert_int_eq(recipe_parse(&m.recipe, recipe, &e), 0);
    m.from.seen = mem_array(1, DIGEST_BYTES);
    snprintf(m.from.dataset, sizeof m.from.dataset, "%s", dataset);
    m.command = mem_strdup("busi-train by hand");
    ck_assert_msg(model_save(&m, path, &e) == 0, "%s", e.text);
    model_release(&m);
}

static void
make_state(const char *path)
{
    static const float params[5] = { 1, 2, 3, 4, 5 };
    struct err e = { 0 };
    struct safet_out o;

    ck_assert_int_eq(safet_create(&o, path, 600, &e), 0);
    safet_put(&o, "params", DT_F32, 1, (const int64_t[]){ 5 }, params);
    safet_put(&o, "m", DT_F32, 1, (const int64_t[]){ 5 }, params);
    safet_set(&o, "format", BUSI_FORMAT);
    safet_set(&o, "kind", "state");
    safet_set(&o, "run", "graph=ab data=cd folds=ef fold=1 seed=9");
    safet_set(&o, "numbers", "3 4 50 0x0p+0");
    safet_set(&o, "log", "1\t0.1\n");
    ck_assert_msg(safet_commit(&o, &e) == 0, "%s", e.text);
}

static int
look(const char *path, bool verify, struct description *d, struct err *e)
{
    const struct describe_conf c = { .verify = verify };

    memset(e, 0, sizeof *e);
    return describe_open(d, path, &c, e);
}

/* Is it described, and has it this fact? */
static void
told(const char *path, bool verify, const char *key, const char *text)
{
    struct description d;
    struct err e;
    const char *got = "(nothing)";

    ck_assert_msg(look(path, verify, &d, &e) == 0, "%s", e.text);
    for (size_t i = 0; i < d.facts.n; i++)
        if (strcmp(d.facts.fact[i].key, key) == 0)
            got = d.facts.fact[i].text;
    ck_assert_msg(strcmp(got, text) == 0, "%s is '%s', not '%s'", key, got,
                  text);
    describe_release(&d);
}

static void
refused(const char *path, const char *what, long long where)
{
    struct description d;
    struct err e;
    int rc = look(path, true, &d, &e);

    ck_assert_msg(rc == -1, "%s %lld of %s goes unnoticed", what, where,
                  path);
    ck_assert_msg(e.status == EXIT_INVALID, "%s %lld: %s", what, where,
                  e.text);
    ck_assert_ptr_nonnull(strstr(e.text, path));
}

/* Every flipped bit, then every cut. */
static void
sweep(const char *path)
{
    int fd = open(path, O_RDWR);
    struct stat st;
    uint8_t byte, other;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_gt(st.st_size, 500);
    for (off_t i = 0; i < st.st_size; i++) {
        ck_assert_int_eq(pread(fd, &byte, 1, i), 1);
        for (int bit = 0; bit < 8; bit++) {
            other = (uint8_t)(byte ^ 1u << bit);
            ck_assert_int_eq(pwrite(fd, &other, 1, i), 1);
            refused(path, "bit", 8 * i + bit);
        }
        ck_assert_int_eq(pwrite(fd, &byte, 1, i), 1);
    }
    told(path, true, "verified", "every byte");
    for (off_t i = st.st_size; i-- > 0;) {
        ck_assert_int_eq(ftruncate(fd, i), 0);
        refused(path, "cut", i);
    }
    close(fd);
    unlink(path);
}

START_TEST(no_damage_to_a_dataset_is_missed)
{
    setup();
    make_dataset("data", false);
    sweep("data");
    teardown();
}
END_TEST

START_TEST(no_damage_to_a_model_is_missed)
{
    setup();
    make_model("model", "");
    sweep("model");
    teardown();
}
END_TEST

START_TEST(no_damage_to_a_state_is_missed)
{
    setup();
    make_state("state");
    sweep("state");
    teardown();
}
END_TEST

START_TEST(facts_of_files)
{
    setup();
    make_dataset("d.safetensors", false);
    told("d.safetensors", false, "kind", "dataset");
    told("d.safetensors", true, "images", "U8 3 x 4 x 4 x 1");
    told("d.safetensors", false, "labels",
         "benign 1, malignant 1, (none) 1");
    told("d.safetensors", false, "verified", "(nothing)");
    make_model("m.safetensors", "");
    told("m.safetensors", true, "kind", "model");
    told("m.safetensors", true, "parameters", "10");
    told("m.safetensors", true, "multiply_adds", "8");
    told("m.safetensors", true, "classes", "benign, malignant");
    told("m.safetensors", true, "temperature", "1.5");
    told("m.safetensors", true, "fold", "2");
    told("m.safetensors", true, "command", "busi-train by hand");
    make_state("s.safetensors");
    told("s.safetensors", true, "epochs_done", "3");
    told("s.safetensors", true, "steps", "50");
    told("s.safetensors", true, "dataset", "cd");
    told("s.safetensors", true, "folds", "ef");
    unlink("d.safetensors");
    unlink("m.safetensors");
    unlink("s.safetensors");
    teardown();
}
END_TEST

/* What CRCs cannot show: a whole file that tells a lie. */
START_TEST(a_wrong_digest_is_told)
{
    struct safet f;
    struct safet_out o;
    struct err e = { 0 };

    setup();
    make_dataset("d.safetensors", true);
    refused("d.safetensors", "digest", 0);
    unlink("d.safetensors");
    make_model("m.safetensors", "");
    ck_assert_int_eq(safet_open(&f, "m.safetensors", &e), 0);
    ck_assert_int_eq(safet_create(&o, "m2.safetensors", 5000, &e), 0);
    for (size_t i = 0; i < f.ntensors; i++)
        safet_put(&o, f.tensor[i].name, f.tensor[i].dtype,
                  f.tensor[i].ndims, f.tensor[i].dims,
                  safet_data(&f, &f.tensor[i]));
    for (size_t i = 0; i < f.nmeta; i++)
        if (strcmp(f.key[i], "crc32") != 0 && strcmp(f.key[i], "self") != 0)
            safet_set(&o, f.key[i], strcmp(f.key[i], "temperature") == 0
                                    ? "2" : f.value[i]);
    ck_assert_msg(safet_commit(&o, &e) == 0, "%s", e.text);
    safet_close(&f);
    told("m2.safetensors", false, "temperature", "2");
    refused("m2.safetensors", "digest", 0);
    unlink("m.safetensors");
    unlink("m2.safetensors");
    teardown();
}
END_TEST

START_TEST(files_that_belong_together)
{
    struct description d[3];
    struct err e;
    const char *last;

    setup();
    make_dataset("d.safetensors", false);
    ck_assert_int_eq(look("d.safetensors", true, &d[0], &e), 0);
    make_model("m.safetensors", d[0].digest);
    make_model("x.safetensors", "0123456789ab");
    ck_assert_int_eq(look("m.safetensors", true, &d[1], &e), 0);
    ck_assert_int_eq(look("x.safetensors", true, &d[2], &e), 0);
    ck_assert_msg(describe_relate(d, 2, &e) == 0, "%s", e.text);
    last = d[1].facts.fact[d[1].facts.n - 1].text;
    ck_assert_str_eq(last, "d.safetensors");
    ck_assert_int_eq(describe_relate(d + 1, 2, &e), 0);
    ck_assert_int_eq(describe_relate(d, 3, &e), -1);
    ck_assert_int_eq(e.status, EXIT_INVALID);
    ck_assert_ptr_nonnull(strstr(e.text, "'x.safetensors'"));
    ck_assert_ptr_nonnull(strstr(e.text, "'d.safetensors'"));
    for (int i = 0; i < 3; i++)
        describe_release(&d[i]);
    unlink("d.safetensors");
    unlink("m.safetensors");
    unlink("x.safetensors");
    teardown();
}
END_TEST

CHECK_MAIN("info", 120, no_damage_to_a_dataset_is_missed,
           no_damage_to_a_model_is_missed, no_damage_to_a_state_is_missed,
           facts_of_files, a_wrong_digest_is_told, files_that_belong_together)
