#include "backend/cudnn_conv.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <cudnn.h>
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CANDIDATES = 128,       /* engine configurations asked for */
    TRIES = 10,             /* of them are timed */
    ROUNDS = 3,             /* the shortest counts */
    REPEATS = 4,
    ALIGN = 16              /* bytes; of all tensors */
};

typedef cudnnBackendDescriptor_t desc;

/* The few functions of libcudnn that are used. */
struct api {
    __typeof__(cudnnGetVersion) *version;
    __typeof__(cudnnCreate) *create;
    __typeof__(cudnnDestroy) *destroy;
    __typeof__(cudnnSetStream) *set_stream;
    __typeof__(cudnnGetErrorString) *error;
    __typeof__(cudnnGetLastErrorString) *last_error;
    __typeof__(cudnnBackendCreateDescriptor) *new;
    __typeof__(cudnnBackendDestroyDescriptor) *drop;
    __typeof__(cudnnBackendSetAttribute) *set;
    __typeof__(cudnnBackendGetAttribute) *get;
    __typeof__(cudnnBackendFinalize) *finish;
    __typeof__(cudnnBackendExecute) *execute;
};

struct cudnn_plan {
    struct conv_shape shape;
    enum conv_pass pass;
    char key[128];          /* both in words */
    desc plan;
    size_t workspace;
    char about[64];
    struct cudnn_plan *next;
};

/* What a run before this one chose. */
struct choice {
    char *key;
    int number;             /* of the candidate */
    int64_t engine;         /* its engine: does the list still hold? */
    double ms;
    struct choice *next;
};

struct cudnn {
    struct cudnn_conf conf;
    struct api f;
    void *library;
    cudnnHandle_t handle;
    desc device;
    char about[32];
    char *cache;            /* path; NULL: none */
    struct choice *choices;
    bool changed;
    struct cudnn_plan *plans;
    char *scratch;          /* for timing */
    size_t nscratch;
};

/* ---------------------------------------------------------- open and close */

/* By the name that its headers promise, or the plain one. */
static int
load(struct cudnn *d, struct err *e)
{
    static const struct {
        const char *name;
        size_t at;
    } functions[] = {
        { "cudnnGetVersion", offsetof(struct api, version) },
        { "cudnnCreate", offsetof(struct api, create) },
        { "cudnnDestroy", offsetof(struct api, destroy) },
        { "cudnnSetStream", offsetof(struct api, set_stream) },
        { "cudnnGetErrorString", offsetof(struct api, error) },
        { "cudnnGetLastErrorString", offsetof(struct api, last_error) },
        { "cudnnBackendCreateDescriptor", offsetof(struct api, new) },
        { "cudnnBackendDestroyDescriptor", offsetof(struct api, drop) },
        { "cudnnBackendSetAttribute", offsetof(struct api, set) },
        { "cudnnBackendGetAttribute", offsetof(struct api, get) },
        { "cudnnBackendFinalize", offsetof(struct api, finish) },
        { "cudnnBackendExecute", offsetof(struct api, execute) },
    };
    size_t version;

    d->library = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
    if (d->library == NULL)
        return err_set(e, EXIT_IO, "cuDNN 9 is missing (%s)",
                       dlerror());
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        void *f = dlsym(d->library, functions[i].name);

        if (f == NULL)
            return err_set(e, EXIT_IO, "this cuDNN has no %s",
                           functions[i].name);
        memcpy((char *)&d->f + functions[i].at, &f, sizeof f);
    }
    version = d->f.version();
    snprintf(d->about, sizeof d->about, "cuDNN %zu.%zu.%zu", version / 10000,
             version / 100 % 100, version % 100);
    if (version < 90800)
        return err_set(e, EXIT_IO, "%s is too old; 9.8 is needed",
                       d->about);
    return 0;
}

/* The device that plans are for: the GPU, or one that is only described. */
static int
describe(struct cudnn *d, struct err *e)
{
    const struct api *f = &d->f;
    cudnnStatus_t rc = f->new(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR,
                              &d->device);

    if (rc == CUDNN_STATUS_SUCCESS && d->conf.gpu != NULL) {
        int32_t number = d->conf.gpu->device;

        rc = f->set(d->device, CUDNN_ATTR_DEVICEPROP_DEVICE_ID,
                    CUDNN_TYPE_INT32, 1, &number);
    } else if (rc == CUDNN_STATUS_SUCCESS) {
        rc = f->set(d->device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                    CUDNN_TYPE_CHAR, (int64_t)strlen(d->conf.device),
                    d->conf.device);
    }
    if (rc == CUDNN_STATUS_SUCCESS)
        rc = f->finish(d->device);
    if (rc == CUDNN_STATUS_SUCCESS && d->conf.gpu != NULL)
        rc = f->create(&d->handle);
    if (rc == CUDNN_STATUS_SUCCESS && d->conf.gpu != NULL)
        rc = f->set_stream(d->handle, d->conf.gpu->stream);
    if (rc != CUDNN_STATUS_SUCCESS)
        return err_set(e, EXIT_IO, "%s cannot use this GPU: %s",
                       d->about, f->error(rc));
    return 0;
}

/* $XDG_CACHE_HOME/busi/cudnn-NVIDIA-H200-9.19.0-PROMISES.tsv */
static char *
cache_path(const struct cudnn *d)
{
    const char *home = getenv("XDG_CACHE_HOME"), *below = "";
    char *path;

    if (home == NULL || home[0] != '/') {
        home = getenv("HOME");
        below = "/.cache";
    }
    if (home == NULL || home[0] != '/')
        return NULL;
    path = str_format("%s%s/busi/cudnn-%s-%s-%s-%s-%zu.tsv", home, below,
                      d->conf.gpu->name, d->about + strlen("cuDNN "),
                      d->conf.deterministic ? "same" : "any",
                      d->conf.tf32 ? "tf32" : "f32",
                      d->conf.workspace >> 20);
    for (char *p = path + strlen(home) + strlen(below) + 6; *p != '\0'; p++)
        if (*p == ' ' || *p == '/')
            *p = '-';
    return path;
}

static void
add_choice(struct cudnn *d, const char *key, int number, int64_t engine,
           double ms)
{
    struct choice *c = mem_array(1, sizeof *c);

    *c = (struct choice){ mem_strdup(key), number, engine, ms, d->choices };
    d->choices = c;
}

/* Lines that are not understood are dropped: all can be found out again. */
static void
load_choices(struct cudnn *d)
{
    char key[128], line[256];
    long long engine;
    double ms;
    int number;
    FILE *f;

    d->cache = cache_path(d);
    f = d->cache != NULL ? fopen(d->cache, "r") : NULL;
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "%127[^\t]\t%d\t%lld\t%lf", key, &number, &engine,
                   &ms) == 4)
            add_choice(d, key, number, engine, ms);
    if (f != NULL)
        fclose(f);
}

static int
write_choices(const struct cudnn *d, struct err *e)
{
    struct file_out o = { 0 };

    if (file_make_folder_of(d->cache, e) != 0 ||
        file_out_open(&o, d->cache, e) != 0)
        return -1;
    for (const struct choice *c = d->choices; c != NULL; c = c->next)
        fprintf(o.stream, "%s\t%d\t%lld\t%.5f\n", c->key, c->number,
                (long long)c->engine, c->ms);
    return file_out_close(&o, e);
}

struct cudnn *
cudnn_open(const struct cudnn_conf *c, struct err *e)
{
    struct cudnn *d = mem_array(1, sizeof *d);

    d->conf = *c;
    if (load(d, e) != 0 || describe(d, e) != 0) {
        cudnn_close(d);
        return NULL;
    }
    if (c->gpu != NULL)
        load_choices(d);
    return d;
}

void
cudnn_close(struct cudnn *d)
{
    struct err why = { 0 };

    if (d == NULL)
        return;
    /* Not kept: then the next run takes the time again. */
    if (d->changed && d->cache != NULL)
        write_choices(d, &why);
    cudnn_planned(d);
    while (d->choices != NULL) {
        struct choice *c = d->choices;

        d->choices = c->next;
        free(c->key);
        free(c);
    }
    while (d->plans != NULL) {
        struct cudnn_plan *p = d->plans;

        d->plans = p->next;
        if (p->plan != NULL)
            d->f.drop(p->plan);
        free(p);
    }
    if (d->device != NULL)
        d->f.drop(d->device);
    if (d->handle != NULL)
        d->f.destroy(d->handle);
    /* The library stays: its threads and kernels outlive a dlclose badly. */
    free(d->cache);
    free(d);
}

const char *
cudnn_about(const struct cudnn *d)
{
    return d->about;
}

void
cudnn_why(const struct cudnn *d, char text[256])
{
    text[0] = '\0';
    d->f.last_error(text, 256);
}

/* ------------------------------------------------------------- descriptors */

/* Descriptors of one plan as it is made; the first failure stays. */
struct build {
    const struct api *f;
    cudnnStatus_t rc;
    desc made[24];
    int nmade;
};

static desc
make(struct build *b, cudnnBackendDescriptorType_t type)
{
    desc d = NULL;

    if (b->rc == CUDNN_STATUS_SUCCESS)
        b->rc = b->f->new(type, &d);
    if (d != NULL)
        b->made[b->nmade++] = d;
    return d;
}

static void
set(struct build *b, desc d, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type, int64_t n, const void *value)
{
    if (b->rc == CUDNN_STATUS_SUCCESS)
        b->rc = b->f->set(d, name, type, n, value);
}

static void
finish(struct build *b, desc d)
{
    if (b->rc == CUDNN_STATUS_SUCCESS)
        b->rc = b->f->finish(d);
}

static void
drop_all(struct build *b)
{
    while (b->nmade > 0)
        b->f->drop(b->made[--b->nmade]);
}

enum { ID_X = 1, ID_W, ID_Y, ID_BIAS, ID_CONV, ID_SUM };

/* dims in cuDNN's order N, C, H, W; channels lie closest.  What is between two
 * operations is virtual, and never stored. */
static desc
tensor(struct build *b, int64_t id, bool bf16, const int64_t dims[4])
{
    bool between = id == ID_CONV || id == ID_SUM;
    desc d = make(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    cudnnDataType_t type = bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    int64_t strides[4] = { dims[1] * dims[2] * dims[3], 1, dims[1] * dims[3],
                           dims[1] };
    int64_t align = ALIGN;

    set(b, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(b, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    set(b, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    set(b, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    set(b, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
    set(b, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &between);
    finish(b, d);
    return d;
}

static desc
convolution(struct build *b, const struct conv_shape *s)
{
    desc d = make(b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    int64_t n = 2, pad[2] = { s->pad, s->pad }, one[2] = { 1, 1 };
    int64_t stride[2] = { s->stride, s->stride };

    set(b, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &n);
    set(b, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1,
        &type);
    set(b, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE,
        1, &mode);
    set(b, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pad);
    set(b, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2,
        pad);
    set(b, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, one);
    set(b, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2,
        stride);
    finish(b, d);
    return d;
}

static int
out_size(int n, const struct conv_shape *s)
{
    return (n + 2 * s->pad - s->kernel) / s->stride + 1;
}

/* y = x + bias (NULL: max(x, 0)) */
static desc
pointwise(struct build *b, cudnnPointwiseMode_t mode, desc x, desc bias,
          desc y)
{
    desc how = make(b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR), op;
    cudnnDataType_t type = CUDNN_DATA_FLOAT;

    set(b, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1,
        &mode);
    set(b, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1,
        &type);
    finish(b, how);
    op = make(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set(b, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &how);
    set(b, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC,
        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x);
    if (bias != NULL)
        set(b, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
            CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &bias);
    set(b, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC,
        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &y);
    finish(b, op);
    return op;
}

/* The graph of one operation, or of three. */
static desc
graph(struct build *b, const struct conv_shape *s, enum conv_pass pass)
{
    static const struct {
        cudnnBackendDescriptorType_t type;
        cudnnBackendAttributeName_t conv, x, w, y, alpha, beta;
    } ops[CONV_PASSES] = {
        { CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA },
        { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA },
        { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA },
    };
    const int64_t x[4] = { s->n, s->c, s->h, s->w };
    const int64_t w[4] = { s->k, s->c, s->kernel, s->kernel };
    const int64_t y[4] = { s->n, s->k, out_size(s->h, s), out_size(s->w, s) };
    desc conv = convolution(b, s), tx = tensor(b, ID_X, s->bf16, x);
    desc tw = tensor(b, ID_W, s->bf16, w), ty = tensor(b, ID_Y, s->bf16, y);
    desc op[3] = { make(b, ops[pass].type) }, out = ty, g;
    float one = 1, zero = 0;
    int nops = 1;

    if (s->bias_relu) {
        const int64_t k[4] = { 1, s->k, 1, 1 };
        desc sum = tensor(b, ID_SUM, false, y);

        out = tensor(b, ID_CONV, false, y);
        op[1] = pointwise(b, CUDNN_POINTWISE_ADD, out,
                          tensor(b, ID_BIAS, s->bf16, k), sum);
        op[2] = pointwise(b, CUDNN_POINTWISE_RELU_FWD, sum, NULL, ty);
        nops = 3;
    }
    set(b, op[0], ops[pass].conv, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &conv);
    set(b, op[0], ops[pass].x, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &tx);
    set(b, op[0], ops[pass].w, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &tw);
    set(b, op[0], ops[pass].y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &out);
    set(b, op[0], ops[pass].alpha, CUDNN_TYPE_FLOAT, 1, &one);
    set(b, op[0], ops[pass].beta, CUDNN_TYPE_FLOAT, 1, &zero);
    finish(b, op[0]);
    g = make(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(b, g, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
        nops, op);
    finish(b, g);
    return g;
}

/* --------------------------------------------------------------- candidates */

/* Engine configurations, the best guess first; owned by the caller. */
struct list {
    desc config[CANDIDATES];
    int n;
};

static void
ask(struct cudnn *d, struct build *b, desc graph, cudnnBackendHeurMode_t mode,
    struct list *l)
{
    desc h = make(b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    int64_t room = CANDIDATES - l->n, n = 0;

    set(b, h, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph);
    set(b, h, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    set(b, h, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &d->device);
    finish(b, h);
    for (int i = 0; i < room && b->rc == CUDNN_STATUS_SUCCESS; i++)
        b->rc = b->f->new(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
                          &l->config[l->n + i]);
    if (b->rc == CUDNN_STATUS_SUCCESS)
        b->rc = b->f->get(h, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                          CUDNN_TYPE_BACKEND_DESCRIPTOR, room, &n,
                          l->config + l->n);
    if (b->rc != CUDNN_STATUS_SUCCESS)
        n = 0;
    n = n < room ? n : room;    /* it may count those that found no room */
    for (int64_t i = n; i < room; i++)
        if (l->config[l->n + i] != NULL) {
            b->f->drop(l->config[l->n + i]);
            l->config[l->n + i] = NULL;
        }
    l->n += (int)n;
}

static void
list_release(const struct api *f, struct list *l)
{
    for (int i = 0; i < l->n; i++)
        f->drop(l->config[i]);
}

enum { NOTES = 32 };        /* of an engine; newer versions know more */

/* Does the engine keep what was promised, and start at once? */
static bool
fits(struct cudnn *d, desc engine, bool bf16)
{
    const struct api *f = &d->f;
    cudnnBackendNumericalNote_t note[NOTES];
    cudnnBackendBehaviorNote_t habit[NOTES];
    int64_t n = 0;

    if (f->get(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
               CUDNN_TYPE_NUMERICAL_NOTE, ARRAY_LEN(note), &n,
               note) != CUDNN_STATUS_SUCCESS)
        n = 0;
    for (int64_t i = 0; i < n && i < NOTES; i++)
        switch (note[i]) {
        case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
            if (!bf16 && !d->conf.tf32)
                return false;
            break;
        case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
        case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
            return false;
        case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
            if (d->conf.deterministic)
                return false;
            break;
        default:
            break;
        }
    n = 0;
    if (f->get(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE,
               CUDNN_TYPE_BEHAVIOR_NOTE, ARRAY_LEN(habit), &n,
               habit) != CUDNN_STATUS_SUCCESS)
        n = 0;
    for (int64_t i = 0; i < n && i < NOTES; i++)
        if (habit[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION)
            return false;
    return true;
}

/* An executable plan of a candidate; NULL if it will not do. */
static desc
try_config(struct cudnn *d, desc config, bool bf16, int64_t *engine,
           size_t *workspace)
{
    struct build b = { .f = &d->f };
    desc e = make(&b, CUDNN_BACKEND_ENGINE_DESCRIPTOR), plan = NULL;
    int64_t n = 0, size = 0;

    if (b.rc == CUDNN_STATUS_SUCCESS)
        b.rc = b.f->get(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &e);
    if (b.rc == CUDNN_STATUS_SUCCESS)
        b.rc = b.f->get(e, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64,
                        1, &n, engine);
    if (b.rc == CUDNN_STATUS_SUCCESS && fits(d, e, bf16))
        b.rc = b.f->new(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan);
    drop_all(&b);
    if (plan == NULL)
        return NULL;
    set(&b, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config);
    set(&b, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &d->device);
    finish(&b, plan);
    if (b.rc == CUDNN_STATUS_SUCCESS)
        b.rc = b.f->get(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                        CUDNN_TYPE_INT64, 1, &n, &size);
    if (b.rc != CUDNN_STATUS_SUCCESS || (size_t)size > d->conf.workspace) {
        b.f->drop(plan);
        return NULL;
    }
    *workspace = (size_t)size;
    return plan;
}

/* ------------------------------------------------------------------- timing */

static size_t
padded(size_t nbytes)
{
    return (nbytes + 255) / 256 * 256;
}

/* Milliseconds of a plan on memory of its own; < 0: it failed. */
static double
measure(struct cudnn *d, const struct cudnn_plan *p)
{
    const struct conv_shape *s = &p->shape;
    size_t one = s->bf16 ? 2 : 4, size[4], all;
    struct gpu *g = d->conf.gpu;
    struct err why = { 0 };
    char *x, *w, *y, *bias;
    double least = 0;

    size[0] = padded(one * s->n * s->c * s->h * s->w);
    size[1] = padded(one * s->k * s->c * s->kernel * s->kernel);
    size[2] = padded(one * s->n * s->k * out_size(s->h, s) *
                     out_size(s->w, s));
    size[3] = padded(one * s->k);
    all = size[0] + size[1] + size[2] + size[3] + p->workspace;
    if (all > d->nscratch) {
        gpu_free(g, d->scratch);
        d->nscratch = 0;
        d->scratch = gpu_alloc(g, all, &why);
        if (d->scratch == NULL)
            return -1;
        d->nscratch = all;
    }
    x = d->scratch;
    w = x + size[0];
    y = w + size[1];
    bias = y + size[2];
    if (cudnn_run(d, p, x, w, bias, y, bias + size[3]) != 0)
        return -1;
    for (int k = 0; k < ROUNDS; k++) {
        double ms;

        /* Something to do while the host enqueues what is timed. */
        gpu_zero(g, d->scratch, d->nscratch);
        gpu_mark(g, 0);
        for (int i = 0; i < REPEATS; i++)
            if (cudnn_run(d, p, x, w, bias, y, bias + size[3]) != 0)
                return -1;
        gpu_mark(g, 1);
        ms = gpu_marked(g) / REPEATS * 1e3;
        least = k == 0 || ms < least ? ms : least;
    }
    return least;
}

void
cudnn_planned(struct cudnn *d)
{
    if (d->scratch != NULL)
        gpu_free(d->conf.gpu, d->scratch);
    d->scratch = NULL;
    d->nscratch = 0;
}

/* ----------------------------------------------------------------- choosing */

static void
key_of(const struct conv_shape *s, enum conv_pass pass, char key[128])
{
    static const char *const passes[] = { "forward", "data", "weights" };

    snprintf(key, 128, "%s %s %dx%dx%dx%d k%d r%d s%d p%d%s",
             passes[pass], s->bf16 ? "bf16" : "f32", s->n, s->c, s->h,
             s->w, s->k, s->kernel, s->stride, s->pad,
             s->bias_relu ? " bias relu" : "");
}

/* Take over a choice of an earlier run. */
static bool
recall(struct cudnn *d, struct cudnn_plan *p, const struct list *l)
{
    for (const struct choice *c = d->choices; c != NULL; c = c->next) {
        int64_t engine = -1;

        if (strcmp(c->key, p->key) != 0 || c->number < 0 || c->number >= l->n)
            continue;
        p->plan = try_config(d, l->config[c->number], p->shape.bf16, &engine,
                             &p->workspace);
        if (p->plan != NULL && engine == c->engine) {
            snprintf(p->about, sizeof p->about, "engine %lld, %.3f ms",
                     (long long)engine, c->ms);
            return true;
        }
        if (p->plan != NULL)
            d->f.drop(p->plan);
        p->plan = NULL;
    }
    return false;
}

/*
 * The fastest of the first few that work.  The first without a GPU, and where
 * the same bits are wanted: those must not hang on a clock.
 */
static void
choose(struct cudnn *d, struct cudnn_plan *p, const struct list *l)
{
    bool first = d->conf.gpu == NULL || d->conf.deterministic;
    int tries = first ? 1 : TRIES, number = -1;
    struct cudnn_plan best = *p;
    int64_t chosen = -1;
    double least = 0;

    for (int i = 0; i < l->n && tries > 0; i++) {
        int64_t engine = -1;
        double ms;

        p->plan = try_config(d, l->config[i], p->shape.bf16, &engine,
                             &p->workspace);
        if (p->plan == NULL)
            continue;
        ms = d->conf.gpu != NULL ? measure(d, p) : 0;
        tries -= ms >= 0;
        if (ms >= 0 && (best.plan == NULL || ms < least)) {
            if (best.plan != NULL)
                d->f.drop(best.plan);
            best = *p;
            least = ms;
            chosen = engine;
            number = i;
        } else {
            d->f.drop(p->plan);
        }
    }
    *p = best;
    if (p->plan == NULL)
        return;
    snprintf(p->about, sizeof p->about, "engine %lld, %.3f ms",
             (long long)chosen, least);
    if (d->conf.gpu != NULL) {
        add_choice(d, p->key, number, chosen, least);
        d->changed = true;
    }
}

static int
build(struct cudnn *d, struct cudnn_plan *p, struct err *e)
{
    struct build b = { .f = &d->f };
    struct list l = { { NULL }, 0 };
    desc g = graph(&b, &p->shape, p->pass);
    char why[256];

    ask(d, &b, g, CUDNN_HEUR_MODE_A, &l);
    b.rc = l.n > 0 ? CUDNN_STATUS_SUCCESS : b.rc;
    if (l.n < CANDIDATES)
        ask(d, &b, g, CUDNN_HEUR_MODE_FALLBACK, &l);
    if (!recall(d, p, &l))
        choose(d, p, &l);
    list_release(&d->f, &l);
    drop_all(&b);
    if (p->plan != NULL)
        return 0;
    cudnn_why(d, why);
    return err_set(e, EXIT_IO, "%s has no engine for the convolution %s "
                   "within %zu MB (%s; %s)", d->about, p->key,
                   d->conf.workspace >> 20,
                   l.n == 0 ? d->f.error(b.rc) : "none fits", why);
}

const struct cudnn_plan *
cudnn_plan(struct cudnn *d, const struct conv_shape *s, enum conv_pass pass,
           struct err *e)
{
    struct cudnn_plan *p;
    char key[128];

    key_of(s, pass, key);
    for (p = d->plans; p != NULL; p = p->next)
        if (strcmp(p->key, key) == 0)
            return p;
    p = mem_array(1, sizeof *p);
    p->shape = *s;
    p->pass = pass;
    memcpy(p->key, key, sizeof key);
    if (build(d, p, e) != 0) {
        free(p);
        return NULL;
    }
    p->next = d->plans;
    d->plans = p;
    return p;
}

size_t
cudnn_workspace(const struct cudnn_plan *p)
{
    return p->workspace;
}

const char *
cudnn_explain(const struct cudnn_plan *p)
{
    return p->about;
}

int
cudnn_run(struct cudnn *d, const struct cudnn_plan *p, void *x, void *w,
          void *bias, void *y, void *workspace)
{
    const int64_t id[4] = { ID_X, ID_W, ID_Y, ID_BIAS };
    void *const data[4] = { x, w, y, bias };
    int n = p->shape.bias_relu ? 4 : 3;
    struct build b = { .f = &d->f };
    desc v = make(&b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);

    set(&b, v, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, id);
    set(&b, v, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n,
        data);
    set(&b, v, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1,
        &workspace);
    finish(&b, v);
    if (b.rc == CUDNN_STATUS_SUCCESS)
        b.rc = b.f->execute(d->handle, p->plan, v);
    drop_all(&b);
    return b.rc == CUDNN_STATUS_SUCCESS ? 0 : -1;
}
