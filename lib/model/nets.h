/*
 * nets: the networks that are known by name.
 *
 * Graphs with torchvision's parameter names, shapes and order: ResNet-18, -34
 * and -50 (He et al. 2016; stride in the 3x3 convolution, as torchvision),
 * MobileNetV2 (Sandler et al. 2018), VGG16 with and without batch-norm
 * (Simonyan, Zisserman 2015).
 */
#ifndef BUSI_MODEL_NETS_H
#define BUSI_MODEL_NETS_H

#include "model/graph.h"

#define NET_NAMES "resnet18, resnet34, resnet50, mobilenet_v2, vgg16, vgg16_bn"

struct net_conf {
    int channels;       /* of the pictures */
    int size;           /* height and width */
    int classes;
    double dropout;     /* before the head; < 0: the network's own */
};

/*
 * Build by name.  Any other name is the path of a model text (graph.h), in
 * which the words @channels, @size, @classes and @dropout stand for the
 * numbers above (@dropout for 0 where the network's own is asked for).
 */
int net_build(struct graph *g, const char *name, const struct net_conf *c,
              struct err *e);

#endif
