// What a node is asked to do: read from the fields of a plugin, and written back to fields.
//
// Names, codes and defaults have a twin in Python: stn_deploy/export/node/kind.py.
#pragma once

#include <NvInferRuntime.h>

#include <array>
#include <string>

#include "../kernels/launch.h"

namespace stn_deploy {

enum class Operation {
    theta_grid_sample,  // source, basis, theta, extents: V = sample(U, basis @ theta, extents)
    given_grid_sample,  // source, grid: V = sample(U, grid), where TensorRT's own GridSample takes no volumes
};

constexpr char const* name_of(Operation operation) {
    return operation == Operation::theta_grid_sample ? "ThetaGridSample" : "GivenGridSample";
}

struct Settings {
    Operation operation = Operation::theta_grid_sample;
    Interpolation interpolation = Interpolation::linear;
    Padding padding = Padding::border;
    bool align_corners = false;
    bool homogeneous = false;      // of theta_grid_sample
    nvinfer1::Dims output_size{};  // of theta_grid_sample; the other takes it from the shape of its grid

    // Throws Refusal: a field is missing, unknown, of another type or length, or its value means nothing.
    static Settings from(Operation operation, nvinfer1::PluginFieldCollection const* fields);

    // All of them in one line: what tells two nodes apart.
    std::string summary() const;
};

// Fields that `from` takes; data only where values are given.
class Fields {
public:
    explicit Fields(Operation operation);       // names alone
    explicit Fields(Settings const& settings);  // names and values
    Fields(Fields const&) = delete;             // it points into itself
    Fields& operator=(Fields const&) = delete;

    nvinfer1::PluginFieldCollection const* collection() const noexcept { return &collection_; }

private:
    void fill(Operation operation, bool values, int32_t dimensions);

    std::array<int32_t, 4> numbers_{};
    std::array<int32_t, 3> output_size_{};
    std::array<nvinfer1::PluginField, 5> fields_{};
    nvinfer1::PluginFieldCollection collection_{};
};

}  // namespace stn_deploy
