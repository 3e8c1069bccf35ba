/* A libcublasLt.so.13 for tests, over the software device of CUDA: what a test may ask it. Found by its soname once it was opened by its path.
 *
 * It does products of bfloat16 into float32 whose first matrix is turned, and looks for what the real one would not tell of: descriptors of
 * nothing, shapes that do not fit each other or the algorithm, pointers and strides that are not as aligned as was promised, a workspace
 * that is too small or lies on an operand (it is filled with NaN before the product).
 *
 * Environment, read at every call:
 *   HM_CUBLAS_FAIL=entry      that entry fails
 *   HM_CUBLAS_REFUSE=1        the heuristic finds nothing */
#ifndef HM_TESTS_CUBLAS_SOFT_H
#define HM_TESTS_CUBLAS_SOFT_H

typedef struct cublas_soft_state {
    int products, heuristics; /* asked for so far */
    int handles, objects;     /* made and not yet given back */
    char complaint[200];      /* the first misuse; "": none */
} cublas_soft_state;

const cublas_soft_state *cublas_soft_look(void); /* for dlsym */

#endif
