/* Sets the clock of one process off, by LD_PRELOAD: the wall clock only, never the monotonic one.
 *
 * CLOCK_OFF_FILE names a file of eight bytes, the seconds to add as a double. It is mapped, so that whoever writes
 * there sets the clock of a running process, as an administrator or a bad time server would. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile double *off = NULL;

__attribute__((constructor)) static void map_file(void) {
    const char *path = getenv("CLOCK_OFF_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *found = mmap(NULL, sizeof(double), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (found != MAP_FAILED) off = found;
}

static long long seconds_off(void) { return off ? (long long)*off : 0; }

int clock_gettime(clockid_t id, struct timespec *now) {
    int code = (int)syscall(SYS_clock_gettime, id, now);
    if (code == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += seconds_off();
    return code;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec fine;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &fine)) return -1;
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec fine;
    if (clock_gettime(CLOCK_REALTIME, &fine)) return -1;
    if (now) *now = fine.tv_sec;
    return fine.tv_sec;
}
