/*
 * ONNX files, read back by a reader of their wire format that shares no code
 * with the writer.  That the numbers are right is shown in t-export.sh.
 */
#include "check.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/proto.h"
#include "learn/onnx.h"
#include "model/init.h"
#include "model/nets.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A message: bytes that are still to be read. */
struct message {
    const uint8_t *p;
    size_t n;
};

/* One field of it; of numbers, `value`; of bytes, `in`. */
struct field {
    int number, type;
    uint64_t value;
    struct message in;
};

static uint64_t
varint(struct message *m)
{
    uint64_t v = 0;

    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t b;

        ck_assert_uint_gt(m->n, 0);
        b = *m->p++;
        m->n--;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80)
            return v;
    }
    ck_abort_msg("a number of more than 10 bytes");
}

static bool
next(struct message *m, struct field *f)
{
    uint64_t tag;
    size_t n;

    if (m->n == 0)
        return false;
    tag = varint(m);
    memset(f, 0, sizeof *f);
    f->number = (int)(tag >> 3);
    f->type = (int)(tag & 7);
    ck_assert(f->type == 0 || f->type == 2 || f->type == 5);
    if (f->type == 0) {
        f->value = varint(m);
        return true;
    }
    n = f->type == 5 ? 4 : (size_t)varint(m);
    ck_assert_uint_le(n, m->n);
    f->in = (struct message){ m->p, n };
    m->p += n;
    m->n -= n;
    return true;
}

/* The k-th field of that number; its absence ends the test. */
static struct field
need(struct message m, int number, int k)
{
    struct field f;

    while (next(&m, &f))
        if (f.number == number && k-- == 0)
            return f;
    ck_abort_msg("no field %d", number);
}

static bool
is(struct message m, const char *text)
{
    return m.n == strlen(text) && memcmp(m.p, text, m.n) == 0;
}

static int
count(struct message m, int number)
{
    struct field f;
    int n = 0;

    while (next(&m, &f))
        n += f.number == number;
    return n;
}

static void
make(struct model *m, const char *net, int channels, int crop, int size)
{
    const struct net_conf c = { channels, size, 3, 0.5 };
    struct err e = { 0 };

    memset(m, 0, sizeof *m);
    str_list_split(&m->classes, "b\xc3\xa9nin,malignant,normal", ',');
    m->recipe = (struct recipe){ crop, crop, crop, channels,
                                 { 0.25f, 0.5f, 0.75f },
                                 { 0.5f, 0.25f, 0.125f } };
    ck_assert_msg(net_build(&m->graph, net, &c, &e) == 0, "%s", e.text);
    m->params = mem_aligned(m->graph.nparams, sizeof *m->params);
    m->buffers = mem_aligned(m->graph.nbuffers, sizeof *m->buffers);
    init_params(&m->graph, 1, m->params, m->buffers);
    m->temperature = 1.5;
    memcpy(m->from.select, "test", 5);
}

static struct message
write_out(struct model *m)
{
    struct err e = { 0 };
    char path[64], *data;
    size_t n;

    snprintf(path, sizeof path, "check_onnx.%ld", (long)getpid());
    model_digest(m, m->digest);
    ck_assert_msg(onnx_save(m, path, &e) == 0, "%s", e.text);
    ck_assert_msg(file_read(path, &data, &n, &e) == 0, "%s", e.text);
    unlink(path);
    return (struct message){ (uint8_t *)data, n };
}

static void
done(struct model *m, struct message file)
{
    free((void *)file.p);
    model_release(m);
}

/* The value of a metadata key. */
static struct message
prop(struct message file, const char *key)
{
    struct field f;

    while (next(&file, &f))
        if (f.number == 14 && is(need(f.in, 1, 0).in, key))
            return need(f.in, 2, 0).in;
    ck_abort_msg("no '%s'", key);
}

START_TEST(says_what_it_is)
{
    struct model m;
    struct message file, graph, shape;

    make(&m, "resnet18", 1, 48, 32);
    file = write_out(&m);
    ck_assert_uint_eq(need(file, 1, 0).value, 8);
    ck_assert_uint_eq(need(need(file, 8, 0).in, 2, 0).value, 17);
    ck_assert(is(prop(file, "classes"), "b\xc3\xa9nin\tmalignant\tnormal"));
    ck_assert(is(prop(file, "temperature"), "1.5"));
    ck_assert(is(prop(file, "recipe"), "resize=48x48 crop=48 channels=1 "
                                       "mean=0.25 std=0.5"));
    ck_assert(is(prop(file, "select"), "test"));
    ck_assert_uint_eq(prop(file, "content").n, 64);
    graph = need(file, 7, 0).in;
    ck_assert_int_eq(count(graph, 11), 1);
    ck_assert_int_eq(count(graph, 12), 1);
    ck_assert(is(need(need(graph, 11, 0).in, 1, 0).in, "pixels"));
    ck_assert(is(need(need(graph, 12, 0).in, 1, 0).in, "probabilities"));
    shape = need(need(need(graph, 11, 0).in, 2, 0).in, 1, 0).in;
    ck_assert_uint_eq(need(shape, 1, 0).value, 2);      /* uint8 */
    shape = need(shape, 2, 0).in;
    ck_assert_int_eq(count(shape, 1), 4);
    ck_assert(is(need(need(shape, 1, 0).in, 2, 0).in, "N"));
    ck_assert_uint_eq(need(need(shape, 1, 1).in, 1, 0).value, 48);
    ck_assert_uint_eq(need(need(shape, 1, 3).in, 1, 0).value, 1);
    done(&m, file);
}
END_TEST

/* Names that stand for a value so far. */
struct names {
    struct message name[2048];
    int n;
};

static bool
known(const struct names *l, struct message name)
{
    for (int i = 0; i < l->n; i++)
        if (l->name[i].n == name.n &&
            memcmp(l->name[i].p, name.p, name.n) == 0)
            return true;
    return false;
}

static void
learn(struct names *l, struct message name)
{
    ck_assert_msg(!known(l, name), "'%.*s' is there twice", (int)name.n,
                  name.p);
    ck_assert_int_lt(l->n, 2048);
    l->name[l->n++] = name;
}

/* A tensor has as many bytes as its shape says. */
static void
check_tensor(struct message t, size_t *nfloats)
{
    struct message rest = t;
    struct field f;
    size_t n = 1;

    while (next(&rest, &f))
        if (f.number == 1)
            n *= (size_t)f.value;
    *nfloats += need(t, 2, 0).value == 1 ? n : 0;
    n *= need(t, 2, 0).value == 7 ? 8 : 4;
    ck_assert_uint_eq(need(t, 9, 0).in.n, n);
}

/* Every input was made before; every value but the answer is used. */
static void
check_graph(const struct model *m, struct message graph)
{
    struct names l = { .n = 0 }, used = { .n = 0 };
    struct message rest = graph;
    struct field f, g;
    size_t nfloats = 0;

    learn(&l, need(need(graph, 11, 0).in, 1, 0).in);
    while (next(&rest, &f))
        if (f.number == 5) {
            learn(&l, need(f.in, 8, 0).in);
            check_tensor(f.in, &nfloats);
        }
    ck_assert_uint_ge(nfloats, m->graph.nparams + m->graph.nbuffers);
    for (rest = graph; next(&rest, &f);) {
        if (f.number != 1)
            continue;
        ck_assert(!is(need(f.in, 4, 0).in, "Dropout"));
        for (struct message node = f.in; next(&node, &g);)
            if (g.number == 1) {
                ck_assert_msg(known(&l, g.in), "'%.*s' comes from nowhere",
                              (int)g.in.n, g.in.p);
                if (!known(&used, g.in))
                    learn(&used, g.in);
            }
        learn(&l, need(f.in, 2, 0).in);
    }
    ck_assert(known(&l, need(need(graph, 12, 0).in, 1, 0).in));
    ck_assert_int_eq(used.n, l.n - 1);
}

START_TEST(hangs_together)
{
    static const char *const nets[] = {
        "resnet18", "resnet50", "mobilenet_v2"
    };

    for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
        struct model m;
        struct message file;

        make(&m, nets[i], i % 2 == 0 ? 1 : 3, 65, 64);
        file = write_out(&m);
        check_graph(&m, need(file, 7, 0).in);
        done(&m, file);
    }
}
END_TEST

/* 10 x 10 to 7 x 7, as VGG16 does at 320 pixels. */
START_TEST(uneven_bins)
{
    static const char text[] = "input x channels=1 size=10\n"
                               "avgpool pool x size=7\n"
                               "linear fc pool out=3\n";
    struct model m;
    struct err e = { 0 };
    struct message file, rest;
    struct field f;
    int seen = 0;

    make(&m, "resnet18", 1, 32, 32);
    graph_release(&m.graph);
    ck_assert_msg(graph_parse(&m.graph, "pool", text, &e) == 0, "%s", e.text);
    file = write_out(&m);
    check_graph(&m, need(file, 7, 0).in);
    for (rest = need(file, 7, 0).in; next(&rest, &f);) {
        float share[70];

        if (f.number != 5 || !is(need(f.in, 8, 0).in, "pool.out/rows"))
            continue;
        seen++;
        ck_assert_uint_eq(need(f.in, 1, 0).value, 7);
        ck_assert_uint_eq(need(f.in, 1, 1).value, 10);
        memcpy(share, need(f.in, 9, 0).in.p, sizeof share);
        for (int i = 0; i < 7; i++)
            for (int j = 0; j < 10; j++) {
                /* PyTorch: from floor(10 i / 7) up to ceil(10 (i + 1) / 7) */
                double from = floor(10.0 * i / 7);
                double to = ceil(10.0 * (i + 1) / 7);

                ck_assert_float_eq(share[10 * i + j], j < from || j >= to
                                   ? 0 : (float)(1 / (to - from)));
            }
    }
    ck_assert_int_eq(seen, 1);
    done(&m, file);
}
END_TEST

/* A model text may use any name, also those that the file needs itself. */
START_TEST(any_names)
{
    static const char text[] = "input pixels channels=1 size=16\n"
                               "conv probabilities pixels out=4 kernel=3\n"
                               "relu6 mean probabilities\n"
                               "avgpool logits mean size=2\n"
                               "dropout std logits p=0.5\n"
                               "linear temperature std out=3\n";
    struct model m;
    struct err e = { 0 };
    struct message file;

    make(&m, "resnet18", 1, 32, 32);
    graph_release(&m.graph);
    ck_assert_msg(graph_parse(&m.graph, "names", text, &e) == 0, "%s", e.text);
    file = write_out(&m);
    check_graph(&m, need(file, 7, 0).in);
    done(&m, file);
}
END_TEST

/* The examples of the encoding's description. */
START_TEST(wire)
{
    struct str s = { 0 }, inner = { 0 };

    proto_int(&s, 1, 150);
    proto_text(&s, 2, "testing");
    proto_int(&inner, 1, 150);
    proto_message(&s, 3, &inner);
    proto_float(&s, 4, 1);
    ck_assert_uint_eq(s.n, 22);
    ck_assert_mem_eq(s.text, "\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01"
                             "\x25\x00\x00\x80\x3f", 22);
    str_release(&s);
    proto_int(&s, 1, -2);
    ck_assert_mem_eq(s.text, "\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                     11);
    str_release(&s);
}
END_TEST

CHECK_MAIN("onnx", 60, says_what_it_is, hangs_together, uneven_bins,
           any_names, wire)
