/* my_client_test.c - how a project in C tests its client against tuya-sim. Copy start_plug(); the rest is your client.
 *
 *     cc my_client_test.c && TUYA_SIM=tuya-sim ./a.out */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A plug of one's own on a free port; it ends with us. @return the stream its ready line came from */
static FILE *start_plug(int *port, pid_t *pid)
{
    char command[1024], line[4096] = "";
    const char *program = getenv("TUYA_SIM");
    snprintf(command, sizeof command,
             "exec '%s' -P 3.3 --port 0 --discovery off --exit-with-parent --json 2>/dev/null",
             program != NULL ? program : "tuya-sim");
    FILE *plug = popen(command, "r");
    if (plug == NULL || fgets(line, sizeof line, plug) == NULL) {
        fprintf(stderr, "%s does not start\n", command);
        exit(1);
    }
    *pid = atoi(strstr(line, "\"pid\":") + 6);
    *port = atoi(strstr(line, "\"port\":") + 7);
    return plug;
}

/* Your client goes here; this one knows just the empty heartbeat of protocol 3.3. @return bytes of the answer */
static ssize_t my_client_says_hello(int port)
{
    static const unsigned char beat[] = {0, 0, 0x55, 0xAA, 0,    0,    0,    1,    0, 0, 0,    9,
                                         0, 0, 0,    8,    0x72, 0xE8, 0x18, 0x61, 0, 0, 0xAA, 0x55};
    struct sockaddr_in at = {.sin_family = AF_INET};
    unsigned char answer[64];
    at.sin_port = htons((unsigned short)port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(s, (struct sockaddr *)&at, sizeof at) != 0 || write(s, beat, sizeof beat) != sizeof beat)
        return -1;
    ssize_t n = read(s, answer, sizeof answer);
    close(s);
    return n;
}

int main(void)
{
    int port;
    pid_t pid;
    FILE *plug = start_plug(&port, &pid);
    ssize_t n = my_client_says_hello(port);
    kill(pid, SIGTERM);
    int status = pclose(plug);
    printf("the answer has %zd bytes, tuya-sim ended with status %d\n", n, status);
    return n == 28 && status == 0 ? 0 : 1;
}
