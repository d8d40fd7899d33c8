# How llama.cpp is compiled for relay-gguf. CMake reads this file when it is told so:
# CMAKE_ARGS=-DCMAKE_PROJECT_llama_cpp_INCLUDE=<this file> pip install llama-cpp-python

# Not needed here, and half of the compiling: the multimodal library, and llama.cpp's common
# library, which llama-cpp-python forces on in the cache. A normal variable goes before the
# cache's (policies CMP0077 and CMP0126).
set(LLAVA_BUILD OFF)
set(LLAMA_BUILD_COMMON OFF)

# For relay-gguf worker.
set(GGML_RPC ON)

# GCC's _tile_loadconfig names 8 bytes of its 64-byte operand as read, so GCC drops the stores
# of the others as dead, and the CPU refuses what it loads (llama.cpp issue 20824).
function(relay_gguf_keep_tile_configuration)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND TARGET ggml-cpu)
        get_target_property(folder ggml-cpu SOURCE_DIR)
        set_property(
            SOURCE "${folder}/ggml-cpu/amx/mmq.cpp"
            TARGET_DIRECTORY ggml-cpu
            APPEND PROPERTY COMPILE_OPTIONS -fno-dse)
    endif()
endfunction()
cmake_language(DEFER CALL relay_gguf_keep_tile_configuration)
