#pragma once
#include "reference.cuh"
namespace stn_deploy {
namespace tuned {
using reference::backward;
}
}
