// Drives the plugin library as TensorRT would, with no TensorRT: a command a line, an answer in JSON a line.
//
//   harness LIBRARY < COMMANDS
//
// creators | create NAME FIELD... | fields ID | again ID | clone ID | attach ID | destroy ID | core ID
// timing ID | types ID TYPES OUTPUTS | shapes ID SHAPES OUTPUTS | supports ID POSITION TENSORS
// configure ID INPUTS OUTPUTS | change ID INPUTS OUTPUTS | enqueue ID INPUTS OUTPUTS FILES TO
//
// Each answer has what was reported to the recorder since the last one. Leaks are the sanitizer's to find.

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>

#include "fakes.h"
#include "memory.h"
#include "words.h"

namespace harness {
namespace {

using namespace nvinfer1;
using Words = std::vector<std::string>;

template <typename Items>
int32_t count(Items const& items) {
    return static_cast<int32_t>(items.size());
}

class Harness {
public:
    explicit Harness(char const* path) {
        library_ = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (library_ == nullptr) throw std::runtime_error(dlerror());
        auto const finder = reinterpret_cast<void (*)(ILoggerFinder*)>(dlsym(library_, "setLoggerFinder"));
        auto const creators =
            reinterpret_cast<IPluginCreatorInterface* const* (*)(int32_t&)>(dlsym(library_, "getCreators"));
        finder(nullptr);
        int32_t count = -1;
        IPluginCreatorInterface* const* const all = creators(count);
        for (int32_t index = 0; index < count; ++index) {
            auto* const creator = static_cast<IPluginCreatorV3One*>(all[index]);
            creators_[creator->getPluginName()] = creator;
        }
    }

    std::string answer(Words const& words) {
        std::string const found = kCommands.at(words.at(0))(*this, words);
        return "{" + found + ", \"messages\": " + listed(recorder_.take(), quoted) + "}";
    }

private:
    static std::map<std::string, std::function<std::string(Harness&, Words const&)>> const kCommands;

    IPluginV3& plugin(Words const& words) { return *plugins_.at(words.at(1)); }
    template <typename Capability>
    Capability& capability(Words const& words, PluginCapabilityType type) {
        return *static_cast<Capability*>(plugin(words).getCapabilityInterface(type));
    }
    IPluginV3OneBuild& build(Words const& words) {
        return capability<IPluginV3OneBuild>(words, PluginCapabilityType::kBUILD);
    }
    IPluginV3OneRuntime& runtime(Words const& words) {
        return capability<IPluginV3OneRuntime>(words, PluginCapabilityType::kRUNTIME);
    }

    std::string keep(IPluginV3* made) {
        if (made == nullptr) return "\"plugin\": null";
        std::string const id = std::to_string(plugins_.size());
        plugins_[id].reset(made);
        return "\"plugin\": " + id;
    }

    std::string creators(Words const&) {
        auto const shown = [](auto const& item) {
            IPluginCreatorV3One& creator = *item.second;
            PluginFieldCollection const& names = *creator.getFieldNames();
            Words fields;
            for (int32_t each = 0; each < names.nbFields; ++each) fields.push_back(names.fields[each].name);
            Words const all{creator.getPluginName(), creator.getPluginVersion(),
                            creator.getPluginNamespace()};
            return "[" + listed(all, quoted) + ", " + listed(fields, quoted) + "]";
        };
        return "\"creators\": " + listed(creators_, shown);
    }

    // Fields as interpolation=INT32:1; NULL in place of a list is a null pointer; NULL alone, no collection.
    std::string create(Words const& words) {
        std::vector<std::vector<char>> data;
        std::vector<PluginField> fields;
        Words const given(words.begin() + 2, words.end());
        Words names;
        for (std::string const& word : given) names.push_back(split(word, '=').at(0));
        for (size_t index = 0; index < given.size() && given[index] != "NULL"; ++index) {
            Words const parts = split(split(given[index], '=').at(1), ':');
            Field const type = named(kFields, parts.at(0));
            std::vector<int64_t> const values = parts.at(1) == "NULL"
                                                    ? std::vector<int64_t>{0}
                                                    : numbers(parts.at(1) == "-" ? "" : parts.at(1));
            data.push_back(bytes_of(type, values));
            char const* const at = parts.at(1) == "NULL" ? nullptr : data.back().data();
            fields.emplace_back(names[index].c_str(), at, type, count(values));
        }
        PluginFieldCollection const collection{count(fields), fields.data()};
        bool const none = given.size() == 1 && given[0] == "NULL";
        IPluginCreatorV3One& creator = *creators_.at(words.at(1));
        return keep(creator.createPlugin("node", none ? nullptr : &collection, TensorRTPhase::kBUILD));
    }

    static std::vector<char> bytes_of(Field type, std::vector<int64_t> const& values) {
        std::vector<char> bytes(values.size() * sizeof(int64_t) + 1);
        for (size_t index = 0; index < values.size(); ++index) {
            auto const narrow = static_cast<int32_t>(values[index]);
            bool const wide = type == Field::kINT64;
            size_t const size = wide ? sizeof(int64_t) : sizeof(int32_t);
            std::memcpy(bytes.data() + index * size,
                        wide ? static_cast<void const*>(&values[index]) : &narrow, size);
        }
        return bytes;
    }

    std::string fields(Words const& words) {
        auto const shown = [](PluginField const& field) {
            auto const* const data = static_cast<int32_t const*>(field.data);
            std::vector<int32_t> const values(data, data + field.length);
            auto const number = [](int32_t value) { return std::to_string(value); };
            std::string const narrow = std::to_string(field.type == Field::kINT32);
            return "[" + quoted(field.name) + ", " + narrow + ", " + listed(values, number) + "]";
        };
        PluginFieldCollection const& all = *runtime(words).getFieldsToSerialize();
        return "\"fields\": " +
               listed(std::vector<PluginField>(all.fields, all.fields + all.nbFields), shown);
    }

    // As out of an engine: the fields of one plugin make another one, at addresses that are not aligned.
    std::string again(Words const& words) {
        PluginFieldCollection const& all = *runtime(words).getFieldsToSerialize();
        std::vector<std::vector<char>> data;
        std::vector<PluginField> fields;
        for (int32_t index = 0; index < all.nbFields; ++index) {
            PluginField const& field = all.fields[index];
            size_t const size = static_cast<size_t>(field.length) * sizeof(int32_t);
            data.emplace_back(size + 1);
            if (size > 0) std::memcpy(data.back().data() + 1, field.data, size);
            fields.emplace_back(field.name, data.back().data() + 1, field.type, field.length);
        }
        PluginFieldCollection const collection{all.nbFields, fields.data()};
        auto& core = capability<IPluginV3OneCore>(words, PluginCapabilityType::kCORE);
        return keep(
            creators_.at(core.getPluginName())->createPlugin("node", &collection, TensorRTPhase::kRUNTIME));
    }

    std::string clone(Words const& words) { return keep(plugin(words).clone()); }
    std::string attach(Words const& words) { return keep(runtime(words).attachToContext(&context_)); }
    std::string destroy(Words const& words) {
        plugins_.at(words.at(1)).reset();
        return "\"destroyed\": true";
    }

    std::string core(Words const& words) {
        auto& core = capability<IPluginV3OneCore>(words, PluginCapabilityType::kCORE);
        Words const all{core.getPluginName(), core.getPluginVersion(), core.getPluginNamespace()};
        return "\"core\": " + listed(all, quoted) +
               ", \"outputs\": " + std::to_string(build(words).getNbOutputs());
    }

    std::string timing(Words const& words) {
        return "\"id\": " + quoted(build(words).getTimingCacheID()) +
               ", \"metadata\": " + quoted(build(words).getMetadataString());
    }

    std::string types(Words const& words) {
        std::vector<Type> inputs, outputs(std::stoul(words.at(3)), Type::kUINT8);
        for (std::string const& word : split(words.at(2), ',')) inputs.push_back(named(kTypes, word));
        int32_t const code =
            build(words).getOutputDataTypes(outputs.data(), count(outputs), inputs.data(), count(inputs));
        auto const shown = [](Type type) {
            std::string name;
            for (auto const& each : kTypes) name = each.second == type ? each.first : name;
            return quoted(name);
        };
        return "\"code\": " + std::to_string(code) + ", \"types\": " + listed(outputs, shown);
    }

    std::string shapes(Words const& words) {
        Lengths lengths;
        std::vector<DimsExprs> inputs, outputs(std::stoul(words.at(3)));
        for (std::string const& word : split(words.at(2), ';')) {
            DimsExprs shape{};
            for (int64_t const length : numbers(word)) {
                std::string const name = std::to_string(inputs.size()) + "." + std::to_string(shape.nbDims);
                shape.d[shape.nbDims++] = lengths.add(name, length);
            }
            inputs.push_back(shape);
        }
        int32_t const code = build(words).getOutputShapes(inputs.data(), count(inputs), nullptr, 0,
                                                          outputs.data(), count(outputs), lengths);
        Words names;
        for (int32_t axis = 0; axis < outputs.at(0).nbDims; ++axis) {
            names.push_back(static_cast<Length const*>(outputs[0].d[axis])->name());
        }
        return "\"code\": " + std::to_string(code) + ", \"shape\": " + listed(names, quoted);
    }

    static std::vector<DynamicPluginTensorDesc> dynamic(std::string const& word) {
        std::vector<DynamicPluginTensorDesc> found;
        for (PluginTensorDesc const& tensor : tensors(word)) {
            found.push_back({tensor, tensor.dims, tensor.dims, tensor.dims});
        }
        return found;
    }

    std::string supports(Words const& words) {
        std::vector<DynamicPluginTensorDesc> const all = dynamic(words.at(3));
        bool const taken =
            build(words).supportsFormatCombination(std::stoi(words.at(2)), all.data(), count(all) - 1, 1);
        return std::string("\"supported\": ") + (taken ? "true" : "false");
    }

    std::string configure(Words const& words) {
        std::vector<DynamicPluginTensorDesc> const in = dynamic(words.at(2)), out = dynamic(words.at(3));
        return "\"code\": " +
               std::to_string(build(words).configurePlugin(in.data(), count(in), out.data(), count(out)));
    }

    std::string change(Words const& words) {
        std::vector<PluginTensorDesc> const in = tensors(words.at(2)), out = tensors(words.at(3));
        return "\"code\": " +
               std::to_string(runtime(words).onShapeChange(in.data(), count(in), out.data(), count(out)));
    }

    // The output lies in TO, which has its size already; NULL in place of a file is a null pointer.
    std::string enqueue(Words const& words) {
        std::vector<PluginTensorDesc> const in = tensors(words.at(2)), out = tensors(words.at(3));
        std::vector<Block> blocks;
        auto const read = [&](std::string const& path) {
            std::ifstream file(path, std::ios::binary);
            std::string const bytes{std::istreambuf_iterator<char>(file), {}};
            blocks.emplace_back(path == "NULL" ? nullptr : allocated(bytes.size()));
            if (path != "NULL") std::memcpy(blocks.back().get(), bytes.data(), bytes.size());
            return std::make_pair(blocks.back().get(), bytes.size());
        };
        std::vector<void const*> inputs;
        for (std::string const& path : split(words.at(4), ';')) inputs.push_back(read(path).first);
        auto const [output, size] = read(words.at(5));
        void* outputs[] = {output};
        int32_t const code =
            runtime(words).enqueue(in.data(), out.data(), inputs.data(), outputs, nullptr, nullptr);
        finish();
        if (output != nullptr) {
            std::ofstream file(words.at(5), std::ios::binary);
            file.write(static_cast<char const*>(output), static_cast<std::streamsize>(size));
        }
        return "\"code\": " + std::to_string(code);
    }

    void* library_ = nullptr;
    Recorder recorder_;
    Context context_{recorder_};
    std::map<std::string, IPluginCreatorV3One*> creators_;
    std::map<std::string, std::unique_ptr<IPluginV3>> plugins_;
};

std::map<std::string, std::function<std::string(Harness&, Words const&)>> const Harness::kCommands{
    {"creators", &Harness::creators},   {"create", &Harness::create}, {"fields", &Harness::fields},
    {"again", &Harness::again},         {"clone", &Harness::clone},   {"attach", &Harness::attach},
    {"destroy", &Harness::destroy},     {"core", &Harness::core},     {"timing", &Harness::timing},
    {"types", &Harness::types},         {"shapes", &Harness::shapes}, {"supports", &Harness::supports},
    {"configure", &Harness::configure}, {"change", &Harness::change}, {"enqueue", &Harness::enqueue}};

}  // namespace
}  // namespace harness

int main(int, char** arguments) {
    harness::Harness driven(arguments[1]);
    for (std::string line; std::getline(std::cin, line);) {
        std::cout << driven.answer(harness::split(line, ' ')) << std::endl;
    }
    return 0;
}
