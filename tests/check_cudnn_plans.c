/*
 * check_cudnn_plans: cuDNN has an engine for every convolution of every
 * network, on GPUs that are not here.
 *
 * Plans are built from a description of the device, in the form that cuDNN
 * writes and reads itself; nothing is run.  Depthwise convolutions are left
 * out: own kernels do them.
 */
#include "backend/cudnn_conv.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/nets.h"
#include "tests/check.h"

#include <stdio.h>
#include <string.h>

struct device {
    const char *name;
    int arch, sms, threads, blocks, shared, l2, mhz, memory_mhz;
    long long bytes;
};

static const struct device devices[] = {
    { "NVIDIA A100-SXM4-80GB", 80, 108, 2048, 32, 166912, 41943040, 1410,
      1593, 85094825984 },
    { "NVIDIA GeForce RTX 3080", 86, 68, 1536, 16, 101376, 5242880, 1710,
      9501, 10501423104 },
    { "NVIDIA H200", 90, 132, 2048, 32, 232448, 62914560, 1980, 3201,
      150754820096 },
    { "NVIDIA B200", 100, 148, 2048, 32, 232448, 132644864, 1965, 3996,
      191504678912 },
};

static char *
describe(const struct device *d)
{
    return str_format(
        "{\"maxGridSize\":[2147483647,65535,65535],"
        "\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,"
        "\"multiProcessorCount\":%d,\"warpSize\":32,"
        "\"maxSharedMemoryPerBlock\":49152,"
        "\"maxSharedMemoryPerBlockOptin\":%d,"
        "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,"
        "\"maxCtasPerSM\":%d,\"maxThreadsPerBlock\":1024,"
        "\"maxThreadsPerSM\":%d,\"pciDeviceId\":0,\"isTccDriver\":0,"
        "\"supportCoopLaunch\":1,\"totalGlobalMem\":%lld,"
        "\"smClockRateKHz\":%d,\"memClockRateKHz\":%d,\"l2CacheSize\":%d,"
        "\"cudaDeviceId\":0,\"deviceVer\":%d,\"driverVer\":13000,"
        "\"deviceName\":\"%s\"}",
        d->sms, d->shared, d->blocks, d->threads, d->bytes, d->mhz * 1000,
        d->memory_mhz * 1000, d->l2, d->arch * 10, d->name);
}

static int
up8(int n)
{
    return (n + 7) / 8 * 8;
}

/* Plans of one convolution or linear layer; how many. */
static int
plan_op(struct cudnn *d, const struct graph *g, int i, int n, bool bf16)
{
    const struct op *o = &g->op[i], *x = &g->op[o->in[0]];
    struct conv_shape s = { n, up8(x->c), x->h, x->w, up8(o->out), 1, 1, 0,
                            bf16, false };
    struct err e = { 0 };

    if (o->kind == OP_CONV) {
        s.kernel = o->kernel;
        s.stride = o->stride;
        s.pad = o->pad;
    }
    for (enum conv_pass p = 0; p < CONV_PASSES; p++)
        ck_assert_msg(cudnn_plan(d, &s, p, &e) != NULL, "%s '%s': %s",
                      g->name, o->name, e.text);
    /* In bf16, bias and ReLU too; elsewhere a kernel of ours does them. */
    if (o->kind == OP_CONV && o->bias && bf16) {
        s.bias_relu = true;
        ck_assert_msg(cudnn_plan(d, &s, CONV_FORWARD, &e) != NULL,
                      "%s '%s': %s", g->name, o->name, e.text);
        return CONV_PASSES + 1;
    }
    return CONV_PASSES;
}

static int
plan_net(struct cudnn *d, const char *name, int channels, int n, bool bf16)
{
    struct net_conf conf = { channels, 224, 3, -1 };
    struct err e = { 0 };
    struct graph g;
    int plans = 0;

    ck_assert_int_eq(net_build(&g, name, &conf, &e), 0);
    for (int i = 0; i < g.nops; i++)
        if ((g.op[i].kind == OP_CONV && g.op[i].groups == 1) ||
            g.op[i].kind == OP_LINEAR)
            plans += plan_op(d, &g, i, n, bf16);
    graph_release(&g);
    return plans;
}

static void
plan_device(const struct device *device, bool deterministic, bool tf32)
{
    static const char *const names[] = { "resnet18", "resnet34", "resnet50",
                                         "mobilenet_v2", "vgg16",
                                         "vgg16_bn" };
    char *json = describe(device);
    struct cudnn_conf conf = { NULL, json, deterministic, tf32, 512 << 20 };
    struct err e = { 0 };
    struct cudnn *d = cudnn_open(&conf, &e);
    double start = clock_seconds();
    int plans = 0;

    ck_assert_msg(d != NULL, "%s", e.text);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        for (int bf16 = 0; bf16 < 2; bf16++)
            plans += plan_net(d, names[i], 1, 64, bf16);
    printf("%s: %d plans with %s, %.1f s\n", device->name, plans,
           cudnn_about(d), clock_seconds() - start);
    ck_assert_int_gt(plans, 800);
    cudnn_close(d);
    free(json);
}

START_TEST(test_plans)
{
    for (size_t i = 0; i < ARRAY_LEN(devices); i++)
        plan_device(&devices[i], false, false);
}
END_TEST

/* The same bits in every run: from float32 as it is, and from TF32. */
START_TEST(test_promises)
{
    for (size_t i = 0; i < ARRAY_LEN(devices); i++)
        plan_device(&devices[i], true, i % 2);
}
END_TEST

/* A kernel larger than its picture: what cuDNN has against it is told. */
START_TEST(test_reason)
{
    struct conv_shape s = { 1, 8, 4, 4, 8, 7, 1, 0, true, false };
    char *json = describe(&devices[0]);
    struct cudnn_conf conf = { .device = json, .workspace = 1 << 20 };
    struct err e = { 0 };
    struct cudnn *d = cudnn_open(&conf, &e);

    ck_assert_msg(d != NULL, "%s", e.text);
    ck_assert(cudnn_plan(d, &s, CONV_FORWARD, &e) == NULL);
    printf("%s\n", e.text);
    ck_assert_msg(strstr(e.text, "CUDNN_STATUS_BAD_PARAM") != NULL &&
                  strstr(e.text, "; )") == NULL, "%s", e.text);
    cudnn_close(d);
    free(json);
}
END_TEST

CHECK_SUITE(run_suite, "cudnn_plans", 600, test_plans, test_promises,
            test_reason)

static bool
cudnn_opens(void)
{
    char *json = describe(&devices[0]);
    struct cudnn_conf conf = { .device = json };
    struct err e = { 0 };
    struct cudnn *d = cudnn_open(&conf, &e);

    if (d == NULL)
        printf("%s\n", e.text);
    free(json);
    cudnn_close(d);
    return d != NULL;
}

int
main(void)
{
    return check_in_child(cudnn_opens) ? run_suite() : CHECK_SKIP;
}
