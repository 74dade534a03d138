/* check_transfer: weights of another training as a start. */
#include "data/safet.h"
#include "learn/transfer.h"
#include "model/nets.h"
#include "tests/netcheck.h"

#include <sys/mman.h>
#include <unistd.h>

enum { N = 2, SIZE = 6, K = 3 };

static char path[40];

static void __attribute__((constructor))
name_path(void)
{
    snprintf(path, sizeof path, "/tmp/check-transfer-%ld", (long)getpid());
}

static const char gray[] =
    "input x channels=1 size=6\nconv c x out=4 kernel=3\nbn b c\n"
    "relu r b\navgpool p r size=1\nlinear fc p out=3";
static const char rgb[] =
    "input x channels=3 size=6\nconv c x out=4 kernel=3\nbn b c\n"
    "relu r b\navgpool p r size=1\nlinear fc p out=3";
static const char biased[] =
    "input x channels=3 size=6\nconv c x out=4 kernel=3 bias=1\n"
    "relu r c\navgpool p r size=1\nlinear fc p out=3";
static const char gray_biased[] =
    "input x channels=1 size=6\nconv c x out=4 kernel=3 bias=1\n"
    "relu r c\navgpool p r size=1\nlinear fc p out=3";

static const struct recipe ours = {
    .width = 6, .height = 6, .crop = 6, .channels = 1,
    .mean = { 0.3f, 0.3f, 0.3f }, .std = { 0.2f, 0.2f, 0.2f }
};

/*
 * A network's numbers as a file; tensors called `drop` are left out.  Its
 * recipe may be NULL; `seen` [2,32] makes it a model of ours.
 */
static void
write_file(const struct net *net, const char *drop, const char *recipe,
           const uint8_t *seen)
{
    struct safet_out o;
    struct err e = { 0 };

    ck_assert(safet_create(&o, path, 1 << 16, &e) == 0);
    for (int i = 0; i < net->g.nentries; i++) {
        const struct param *p = &net->g.param[i];

        if (drop == NULL || strcmp(p->name, drop) != 0)
            safet_put(&o, p->name, DT_F32, p->ndims, p->dims,
                      (p->buffer ? net->buffers : net->params) + p->offset);
    }
    safet_put(&o, "extra", DT_F32, 1, &(int64_t){ 4 }, net->params);
    if (seen != NULL) {
        safet_put(&o, "seen", DT_U8, 2, (int64_t[]){ 2, 32 }, seen);
        safet_set(&o, "kind", "model");
    }
    if (recipe != NULL)
        safet_set(&o, "recipe", recipe);
    ck_assert_msg(safet_commit(&o, &e) == 0, "%s", e.text);
}

static void
write_net(const struct net *net, const char *drop)
{
    write_file(net, drop, NULL, NULL);
}

/* What the last layer says to gray pictures of 0..1, normalised. */
static void
answers(struct net *net, const float *mean, const float *std, float *z)
{
    const struct op *x = graph_input(&net->g);
    struct backend_conf conf = { .dtype = DTYPE_F32, .threads = 1 };
    struct err e = { 0 };
    struct backend *b = backend_open("ref", &conf, &e);
    struct side s;
    size_t plane = SIZE * SIZE;

    for (int n = 0; n < N; n++)
        for (int c = 0; c < x->c; c++)
            for (size_t i = 0; i < plane; i++)
                net->images[((size_t)(n * x->c) + (size_t)c) * plane + i] =
                    ((float)(net_number(9, (size_t)n * plane + i) + 1) / 2 -
                     mean[c]) / std[c];
    side_open(&s, b, net, MODE_EVAL);
    side_run(&s, &net->feed);
    ck_assert_int_eq(b->class->peek(s.plan, net->g.nops - 2, false, z), 0);
    side_close(&s);
    backend_close(b);
}

static const float imagenet_mean[3] = { 0.485f, 0.456f, 0.406f };
static const float imagenet_std[3] = { 0.229f, 0.224f, 0.225f };

/* The same answers before and after: with batch-norm, and with a bias. */
START_TEST(a_gray_picture_gives_what_a_colour_one_gave)
{
    static const char *const texts[2][2] = { { rgb, gray },
                                             { biased, gray_biased } };

    for (int i = 0; i < 2; i++) {
        struct transfer t = { .path = path, .norm = NORM_IMAGENET };
        struct net from = { 0 }, to = { 0 };
        float before[N * K], after[N * K];
        struct err e = { 0 };

        net_parse(&from, texts[i][0], N);
        net_parse(&to, texts[i][1], N);
        write_net(&from, NULL);
        ck_assert_msg(transfer_load(&t, &to.g, &ours, to.params, to.buffers,
                                    &e) == 0, "%s", e.text);
        ck_assert_uint_eq(t.adapted.n, 1);
        ck_assert_uint_eq(t.taken, (size_t)to.g.nentries - 1);
        ck_assert_uint_eq(t.left.n, 1);
        ck_assert_str_eq(t.left.item[0], "extra");
        answers(&from, imagenet_mean, imagenet_std, before);
        answers(&to, ours.mean, ours.std, after);
        for (int k = 0; k < N * K; k++)
            ck_assert_double_eq_tol((double)before[k], (double)after[k],
                                    2e-5);
        transfer_release(&t);
        net_release(&from);
        net_release(&to);
    }
}
END_TEST

START_TEST(the_head_is_made_anew)
{
    struct transfer t = { .path = path, .norm = NORM_SAME };
    struct net from = { 0 }, to = { 0 };
    struct err e = { 0 };
    float *scratch;
    size_t head;

    net_parse(&from, gray, N);
    net_parse(&to, "input x channels=1 size=6\nconv c x out=4 kernel=3\n"
                   "bn b c\nrelu r b\navgpool p r size=1\nlinear fc p out=5",
              N);
    write_net(&from, NULL);
    head = transfer_head(&to.g);
    ck_assert_uint_eq(head, 4 * 9 + 4 + 4);
    for (size_t i = 0; i < to.g.nparams; i++)
        to.params[i] = 7;
    scratch = to.params + head;
    ck_assert_msg(transfer_load(&t, &to.g, &ours, to.params, to.buffers, &e)
                      == 0, "%s", e.text);
    ck_assert_uint_eq(t.adapted.n, 2);
    ck_assert_str_eq(t.adapted.item[0],
                     "fc.weight: made anew, 5x4 in place of 3x4");
    for (size_t i = 0; i < to.g.nparams - head; i++)
        ck_assert_float_eq(scratch[i], 7);
    ck_assert_mem_eq(to.params, from.params, head * sizeof(float));
    transfer_release(&t);
    net_release(&from);
    net_release(&to);
}
END_TEST

START_TEST(what_does_not_fit_is_refused)
{
    static const char *const drops[] = { "b.running_var", "c.weight" };
    struct net from = { 0 }, to = { 0 };
    struct err e = { 0 };

    net_parse(&from, gray, N);
    net_parse(&to, "input x channels=1 size=6\nconv c x out=5 kernel=3\n"
                   "bn b c\nrelu r b\navgpool p r size=1\nlinear fc p out=3",
              N);
    write_net(&from, NULL);
    for (int i = 0; i < 3; i++) {
        struct transfer t = { .path = path };
        const struct net *into = i < 2 ? &from : &to;

        e.status = 0;
        if (i < 2)
            write_net(&from, drops[i]);
        else
            write_net(&from, NULL);
        ck_assert_int_eq(transfer_load(&t, &into->g, &ours, into->params,
                                       into->buffers, &e), -1);
        ck_assert_int_eq(e.status, EXIT_INVALID);
        ck_assert_ptr_nonnull(strstr(e.text, i < 2 ? drops[i] : "not 5"));
        transfer_release(&t);
    }
    net_release(&from);
    net_release(&to);
}
END_TEST

/* timm's files name the recipe of their training, which is none of ours. */
START_TEST(a_recipe_counts_in_a_model_of_ours)
{
    static const uint8_t seen[64];
    struct transfer t = { .path = path, .norm = NORM_SAME };
    struct net net = { 0 };
    struct err e = { 0 };

    net_parse(&net, gray, N);
    write_file(&net, NULL, "a1_in1k", NULL);
    ck_assert_msg(transfer_load(&t, &net.g, &ours, net.params, net.buffers,
                                &e) == 0, "%s", e.text);
    ck_assert_uint_eq(t.taken, (size_t)net.g.nentries);
    transfer_release(&t);
    write_file(&net, NULL, "a1_in1k", seen);
    t = (struct transfer){ .path = path };
    ck_assert_int_eq(transfer_load(&t, &net.g, &ours, net.params,
                                   net.buffers, &e), -1);
    ck_assert_int_eq(e.status, EXIT_INVALID);
    ck_assert_ptr_nonnull(strstr(e.text, path));
    ck_assert_ptr_nonnull(strstr(e.text, "its recipe is damaged"));
    transfer_release(&t);
    net_release(&net);
}
END_TEST

/* It is searched as one that is sorted. */
START_TEST(what_a_model_of_ours_has_seen)
{
    static uint8_t seen[64] = { 1, [32] = 2 };
    static const uint8_t other[32] = { 3 };
    struct transfer t = { .path = path, .norm = NORM_SAME };
    struct net net = { 0 };
    struct err e = { 0 };

    net_parse(&net, gray, N);
    write_file(&net, NULL, NULL, seen);
    ck_assert_msg(transfer_load(&t, &net.g, &ours, net.params, net.buffers,
                                &e) == 0, "%s", e.text);
    ck_assert_int_eq(t.from.fold, -1);
    ck_assert_uint_eq(t.left.n, 1);
    ck_assert(provenance_has_seen(&t.from, seen));
    ck_assert(provenance_has_seen(&t.from, seen + 32));
    ck_assert(!provenance_has_seen(&t.from, other));
    transfer_release(&t);
    seen[0] = 3;
    write_file(&net, NULL, NULL, seen);
    t = (struct transfer){ .path = path };
    ck_assert_int_eq(transfer_load(&t, &net.g, &ours, net.params,
                                   net.buffers, &e), -1);
    ck_assert_int_eq(e.status, EXIT_INVALID);
    ck_assert_ptr_nonnull(strstr(e.text, "'seen' is not sorted"));
    transfer_release(&t);
    net_release(&net);
}
END_TEST

/* 1, -2.5 and 2^-15 as F16 and BF16, 3 as F64. */
START_TEST(other_types_of_numbers)
{
    static const uint16_t f16[3] = { 0x3c00, 0xc100, 0x0200 };
    static const uint16_t bf16[3] = { 0x3f80, 0xc020, 0x3800 };
    static const double f64[4] = { 1, -2.5, 0x1p-15, 3 };
    static const char text[] =
        "input x channels=1 size=1\nconv c x out=3 kernel=1 bias=1\n"
        "avgpool p c size=1\nlinear fc p out=2";
    struct transfer t = { .path = path, .norm = NORM_SAME };
    struct net net = { 0 };
    struct safet_out o;
    struct err e = { 0 };

    net_parse(&net, text, 1);
    ck_assert(safet_create(&o, path, 1 << 12, &e) == 0);
    safet_put(&o, "c.weight", DT_F16, 4, (int64_t[]){ 3, 1, 1, 1 }, f16);
    safet_put(&o, "c.bias", DT_BF16, 1, (int64_t[]){ 3 }, bf16);
    safet_put(&o, "fc.weight", DT_F64, 2, (int64_t[]){ 2, 3 },
              (double[]){ 1, 2, 3, 4, 5, 6 });
    safet_put(&o, "fc.bias", DT_F64, 1, (int64_t[]){ 2 }, f64);
    ck_assert(safet_commit(&o, &e) == 0);
    ck_assert_msg(transfer_load(&t, &net.g, &ours, net.params, net.buffers,
                                &e) == 0, "%s", e.text);
    for (int i = 0; i < 3; i++) {
        ck_assert_float_eq(net.params[i], (float)f64[i]);
        ck_assert_float_eq(net.params[3 + i], (float)f64[i]);
    }
    ck_assert_float_eq(net.params[11], 6);
    transfer_release(&t);
    net_release(&net);
}
END_TEST

/*
 * A file of one page that ends with a tensor of one byte.  What is mapped next
 * comes below what was mapped last, which here may not be read.
 */
START_TEST(nothing_is_read_behind_a_tensor)
{
    static const char text[] =
        "input x channels=1 size=1\nconv c x out=1 kernel=1\n"
        "avgpool p c size=1\nlinear fc p out=2";
    static const uint8_t bytes[47];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct transfer t = { .path = path };
    struct net net = { 0 };
    struct safet_out o;
    struct err e = { 0 };
    char *guard, *last;

    net_parse(&net, text, 1);
    ck_assert(safet_create(&o, path, page - 72, &e) == 0);
    safet_put(&o, "fc.weight", DT_F32, 2, (int64_t[]){ 2, 1 }, net.params);
    safet_put(&o, "fc.bias", DT_F32, 1, (int64_t[]){ 2 }, net.params);
    safet_put(&o, "extra", DT_U8, 1, (int64_t[]){ sizeof bytes }, bytes);
    safet_put(&o, "c.weight", DT_U8, 4, (int64_t[]){ 1, 1, 1, 1 }, bytes);
    ck_assert_msg(safet_commit(&o, &e) == 0, "%s", e.text);
    guard = NULL;
    do {
        last = guard;
        guard = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);
        ck_assert_ptr_ne(guard, MAP_FAILED);
    } while (last == NULL || guard + page != last);
    ck_assert_int_eq(transfer_load(&t, &net.g, &ours, net.params,
                                   net.buffers, &e), -1);
    ck_assert_int_eq(e.status, EXIT_INVALID);
    ck_assert_ptr_nonnull(strstr(e.text, "'c.weight' is U8"));
    transfer_release(&t);
    net_release(&net);
}
END_TEST

/* timm 1.0 names of some of torchvision's tensors. */
START_TEST(names_of_timm)
{
    static const struct {
        const char *ours, *theirs;
    } names[] = {
        { "features.0.0.weight", "conv_stem.weight" },
        { "features.0.1.running_mean", "bn1.running_mean" },
        { "features.1.conv.0.0.weight", "blocks.0.0.conv_dw.weight" },
        { "features.1.conv.1.weight", "blocks.0.0.conv_pw.weight" },
        { "features.1.conv.2.bias", "blocks.0.0.bn2.bias" },
        { "features.2.conv.0.0.weight", "blocks.1.0.conv_pw.weight" },
        { "features.3.conv.1.0.weight", "blocks.1.1.conv_dw.weight" },
        { "features.4.conv.2.weight", "blocks.2.0.conv_pwl.weight" },
        { "features.17.conv.3.running_var", "blocks.6.0.bn3.running_var" },
        { "features.18.1.weight", "bn2.weight" },
        { "classifier.1.weight", "classifier.weight" }
    };
    struct net_conf conf = { 1, 32, 3, -1 };
    struct transfer t = { .path = path, .norm = NORM_SAME };
    struct net from = { 0 }, to = { 0 };
    struct safet_out o;
    struct err e = { 0 };
    size_t aliased = 0;

    ck_assert(net_build(&from.g, "mobilenet_v2", &conf, &e) == 0);
    ck_assert(net_build(&to.g, "mobilenet_v2", &conf, &e) == 0);
    net_fill(&from, 1);
    net_fill(&to, 1);
    for (size_t i = 0; i < to.g.nparams; i++)
        to.params[i] = 7;
    ck_assert(safet_create(&o, path, 1 << 16, &e) == 0);
    for (int i = 0; i < from.g.nentries; i++) {
        const struct param *p = &from.g.param[i];
        const char *name = p->name;

        for (size_t k = 0; k < ARRAY_LEN(names); k++)
            if (strcmp(names[k].ours, name) == 0) {
                name = names[k].theirs;
                aliased++;
            }
        safet_put(&o, name, DT_F32, p->ndims, p->dims,
                  (p->buffer ? from.buffers : from.params) + p->offset);
    }
    ck_assert(safet_commit(&o, &e) == 0);
    ck_assert_uint_eq(aliased, ARRAY_LEN(names));
    ck_assert_msg(transfer_load(&t, &to.g, &ours, to.params, to.buffers, &e)
                      == 0, "%s", e.text);
    ck_assert_uint_eq(t.taken, (size_t)to.g.nentries);
    ck_assert_uint_eq(t.left.n, 0);
    ck_assert_mem_eq(from.params, to.params, to.g.nparams * sizeof(float));
    ck_assert_mem_eq(from.buffers, to.buffers,
                     to.g.nbuffers * sizeof(float));
    transfer_release(&t);
    net_release(&from);
    net_release(&to);
    unlink(path);
}
END_TEST

CHECK_MAIN("transfer", 30, a_gray_picture_gives_what_a_colour_one_gave,
           the_head_is_made_anew, what_does_not_fit_is_refused,
           a_recipe_counts_in_a_model_of_ours, what_a_model_of_ours_has_seen,
           other_types_of_numbers, nothing_is_read_behind_a_tensor,
           names_of_timm)
