# One engine module per row of variants.def, and `custom`, the runtime build of the same sources.
# Only the sources listed here see toggles; everything else is linked from the archives, unreachable sections dropped.
set(HM_TOGGLE_SOURCES
  engine/session/module.c engine/session/open.c engine/session/backends.c
  engine/session/heart.c engine/session/heart_prompt.c engine/session/heart_music.c engine/session/heart_check.c engine/session/heart_many.c engine/session/many.c engine/session/codec_thread.c engine/cpu/cpu_ops_init.c engine/gpu/gpu_ops_init.c engine/cuda/cuda_ops_init.c
  engine/models/transformer.c engine/models/kv_cache.c engine/models/conv.c engine/models/heartmula_config.c engine/models/heartmula_song.c engine/models/heartmula.c
  engine/models/heartcodec_config.c engine/models/dit.c engine/models/scalar_model.c engine/models/heartcodec.c
  engine/models/qwen3_tts_config.c engine/models/qwen3_tts_prompt.c engine/models/qwen3_tts_utterance.c engine/models/qwen3_tts.c
  engine/models/speech_codec_config.c engine/models/speech_codec.c engine/models/speaker_encoder.c engine/models/speech_encoder.c
  engine/models/whisper_config.c engine/models/whisper_encoder.c engine/models/whisper_decoder.c engine/models/whisper_rules.c engine/models/whisper_search.c engine/models/whisper.c
  engine/session/qwen.c engine/session/qwen_prompt.c engine/session/qwen_speech.c engine/session/qwen_stream.c engine/session/qwen_many.c
  engine/session/qwen_check.c
  engine/session/whisper.c engine/session/whisper_transcribe.c engine/session/whisper_check.c)
list(TRANSFORM HM_TOGGLE_SOURCES PREPEND ${PROJECT_SOURCE_DIR}/)

# The rows, each on one line, without comments.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/variants.def)
file(READ ${CMAKE_CURRENT_SOURCE_DIR}/variants.def table)
string(REGEX REPLACE "/\\*[^*]*\\*+([^/*][^*]*\\*+)*/" "" table "${table}")
string(REGEX REPLACE "\n[ \t]+" " " table "${table}")
if(table MATCHES "[];[]")
  message(FATAL_ERROR "variants.def: a row has one of [ ] ; which the build cannot carry")
endif()
string(REGEX MATCHALL "HM_VARIANT[^\n]*" rows "${table}")

set(HM_TOGGLE_LIBRARIES hm_ze hm_cuda hm_gpu hm_weights hm_cpu hm_text hm_mel hm_base)

function(hm_add_module name)
  add_library(module_${name} MODULE ${ARGN})
  target_link_libraries(module_${name} PRIVATE ${HM_TOGGLE_LIBRARIES})
  target_link_options(module_${name} PRIVATE -Wl,--gc-sections -Wl,--exclude-libs,ALL -Wl,-z,defs)
  set_target_properties(module_${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name} LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/variants)
  if(HM_SANITIZE)
    set_property(TARGET module_${name} PROPERTY LINK_OPTIONS -Wl,--gc-sections)
  endif()
  install(TARGETS module_${name} LIBRARY DESTINATION lib/hmbench/variants)
endfunction()

# The runtime build: the module, and an archive for tests that look inside a model.
add_library(hm_runtime_objects OBJECT ${HM_TOGGLE_SOURCES})
target_link_libraries(hm_runtime_objects PUBLIC ${HM_TOGGLE_LIBRARIES})
target_compile_definitions(hm_runtime_objects PRIVATE HM_VARIANT_NAME="custom")
add_library(hm_runtime STATIC $<TARGET_OBJECTS:hm_runtime_objects>)
target_link_libraries(hm_runtime PUBLIC ${HM_TOGGLE_LIBRARIES})
hm_add_module(custom $<TARGET_OBJECTS:hm_runtime_objects>)
add_custom_target(variants)
add_dependencies(variants module_custom)

foreach(row IN LISTS rows)
  if(NOT row MATCHES "^HM_VARIANT\\(([a-z0-9_]+), \"([a-z0-9_-]+)\", \".*\", .*\\)$")
    message(FATAL_ERROR "variants.def: expected HM_VARIANT(identifier, \"name\", \"what it is\", toggles), found: ${row}")
  endif()
  set(identifier ${CMAKE_MATCH_1})
  set(name ${CMAKE_MATCH_2})
  set(header ${PROJECT_BINARY_DIR}/generated/variants/${identifier}.h)
  set(text "${row}\n")
  if(row MATCHES "HM_(BEST|BASELINE|OPT[0-9])")
    set(text "#include \"variants/best.h\"\n${text}")
  endif()
  file(CONFIGURE OUTPUT ${header} CONTENT "${text}" @ONLY) # written only if different
  hm_add_module(${name} ${HM_TOGGLE_SOURCES})
  target_compile_definitions(module_${name} PRIVATE HM_FIXED_VARIANT=${identifier} HM_VARIANT_NAME="${name}"
    HM_VARIANT_ROW="${header}")
  add_dependencies(variants module_${name})
endforeach()
