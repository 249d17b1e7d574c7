// A pair of processes in Go: one sends messages to the first who connects, the
// other receives them, both through bufio, into one buffer that is used again.
//
//	pair send LENGTH COUNT
//	pair receive LENGTH PORT
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

const headerLength = 10
const maxFrameLength = 8 << 20

func main() {
	length, err := strconv.Atoi(os.Args[2])
	check(err)
	last := os.Args[3]
	if os.Args[1] == "send" {
		count, err := strconv.Atoi(last)
		check(err)
		send(length, count)
	} else {
		receive(last)
	}
}

func send(length, count int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Fprintf(os.Stderr, "Listening on %s\n", listener.Addr())
	connection, err := listener.Accept()
	check(err)
	payload := make([]byte, length)
	header := make([]byte, 0, headerLength)
	writer := bufio.NewWriterSize(connection, 64<<10)
	for i := 0; i < count; i++ {
		header = strconv.AppendInt(header[:0], int64(length), 10)
		for len(header) < headerLength {
			header = append(header, ' ')
		}
		_, err = writer.Write(header)
		check(err)
		_, err = writer.Write(payload)
		check(err)
	}
	check(writer.Flush())
	check(connection.Close())
}

func receive(port string) {
	connection, err := net.Dial("tcp", "127.0.0.1:"+port)
	check(err)
	start := time.Now()
	messages, bytes := 0, 0
	header := make([]byte, headerLength)
	payload := []byte{}
	reader := bufio.NewReaderSize(connection, 64<<10)
	for {
		_, err := io.ReadFull(reader, header)
		if err == io.EOF {
			break
		}
		check(err)
		length := parse(header)
		if length > cap(payload) {
			payload = make([]byte, length)
		}
		payload = payload[:length]
		_, err = io.ReadFull(reader, payload)
		check(err)
		messages++
		bytes += headerLength + length
	}
	seconds := time.Since(start).Seconds()
	fmt.Fprintf(os.Stderr, "%d messages, %d bytes in %f s\n", messages, bytes, seconds)
}

// parse is as strict as framing.ts: digits without a leading zero, then spaces.
func parse(header []byte) int {
	length, at := 0, 0
	for ; at < headerLength && header[at] >= '0' && header[at] <= '9'; at++ {
		length = length*10 + int(header[at]-'0')
	}
	if at == 0 || at > 1 && header[0] == '0' || length > maxFrameLength {
		panic("no header")
	}
	for ; at < headerLength; at++ {
		if header[at] != ' ' {
			panic("no header")
		}
	}
	return length
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
