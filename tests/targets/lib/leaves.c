/* A library that can end threads. */
#include <pthread.h>

void leaves_thread(void)
{
    pthread_exit(0);
}
