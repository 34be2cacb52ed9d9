// One translation unit: the kernels that the command line names, as in
//     nvcc -DSTN_OPERATION=STN_GRID_SAMPLE -DSTN_AXES=2 -DSTN_INTERPOLATION=cubic kernels.cu
#include "kernels.cuh"

#define STN_DEFINE(operation, axes, interpolation) operation(axes, interpolation)
STN_DEFINE(STN_OPERATION, STN_AXES, STN_INTERPOLATION)
