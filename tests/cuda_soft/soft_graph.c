/* Captures and graphs: a list of commands in order. */
#include "tests/cuda_soft/soft.h"

CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode)
{
    soft_context *c = NULL;
    soft_stream *s = NULL;
    ENTER(cuStreamBeginCapture_v2);
    CONTEXT(c);
    TAKE(s, stream, SOFT_STREAM);
    if (s->captured) {
        hm_soft_misuse("it captures already");
        return CUDA_ERROR_ILLEGAL_STATE;
    }
    s->mode = mode;
    s->captures = pthread_self();
    s->broken = s->endless = false;
    s->captured = hm_soft_new(SOFT_GRAPH, sizeof *s->captured);
    return s->captured ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *out)
{
    soft_context *c = NULL;
    soft_stream *s = NULL;
    int early = hm_soft_enter(SOFT_cuStreamEndCapture);
    CONTEXT(c);
    TAKE(s, stream, SOFT_STREAM);
    if (REFUSED(early)) {
        s->endless = true;
        return (CUresult)early;
    }
    NEED(out);
    *out = NULL;
    if (!s->captured) {
        hm_soft_misuse("it does not capture");
        return CUDA_ERROR_ILLEGAL_STATE;
    }
    if (s->mode == CU_STREAM_CAPTURE_MODE_GLOBAL && !pthread_equal(s->captures, pthread_self()))
        return hm_soft_misuse("another thread began it") ? CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD : CUDA_SUCCESS;
    soft_graph *g = s->captured;
    s->captured = NULL;
    if (s->broken || hm_soft_lost()) {
        hm_soft_commands_free(&g->commands);
        hm_soft_retire(g);
        return hm_soft_lost() ? LAST_RESULT : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    *out = (CUgraph)g;
    return CUDA_SUCCESS;
}

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *count)
{
    soft_graph *g = NULL;
    ENTER(cuGraphGetNodes);
    TAKE(g, graph, SOFT_GRAPH);
    NEED(count);
    if (nodes)
        return (CUresult)hm_soft_misuse("nodes are counted only");
    *count = (size_t)g->commands.count;
    return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *out, CUgraph graph, unsigned long long flags)
{
    soft_context *c = NULL;
    soft_graph *g = NULL;
    ENTER(cuGraphInstantiateWithFlags);
    CONTEXT(c);
    TAKE(g, graph, SOFT_GRAPH);
    NEED(out);
    (void)flags;
    soft_graph *x = hm_soft_new(SOFT_GRAPH_EXEC, sizeof *x);
    if (!x)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (const soft_command *command = g->commands.first; command; command = command->next) {
        soft_command *copy = hm_soft_command_copy(command, 0);
        if (!copy) {
            hm_soft_commands_free(&x->commands);
            hm_soft_retire(x);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
        hm_soft_commands_add(&x->commands, copy);
    }
    *out = (CUgraphExec)x;
    return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph graph)
{
    soft_graph *g = NULL;
    ENTER_LAST(cuGraphDestroy);
    TAKE(g, graph, SOFT_GRAPH);
    hm_soft_commands_free(&g->commands);
    hm_soft_retire(g);
    return LAST_RESULT;
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream)
{
    soft_context *c = NULL;
    soft_stream *s = NULL;
    soft_graph *x = NULL;
    ENTER(cuGraphLaunch);
    CONTEXT(c);
    TAKE(x, exec, SOFT_GRAPH_EXEC);
    TAKE(s, stream, SOFT_STREAM);
    if (s->captured)
        return (CUresult)hm_soft_misuse("a graph within a capture is not what this device has");
    return hm_soft_submit_all(s, &x->commands);
}

CUresult cuGraphExecDestroy(CUgraphExec exec)
{
    soft_graph *x = NULL;
    ENTER_LAST(cuGraphExecDestroy);
    TAKE(x, exec, SOFT_GRAPH_EXEC);
    hm_soft_commands_free(&x->commands);
    hm_soft_retire(x);
    return LAST_RESULT;
}
