// A pair of processes in Go: one sends messages to the first who connects, the
// other receives them, both through bufio, into one buffer that is used again.
// A third form takes messages apart that are in memory already, in chunks that
// all go through so many times. And there are a server that sends the time to
// all who connect, and clients who all connect at once.
//
//	pair send LENGTH COUNT
//	pair receive LENGTH PORT
//	pair decode LENGTH COUNT CHUNK TIMES
//	pair serve COUNT MILLISECONDS
//	pair crowd CLIENTS PORT
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strconv"
	"time"
)

const headerLength = 10
const maxFrameLength = 8 << 20
const bufferSize = 64 << 10

func main() {
	numbers := []int{}
	for _, text := range os.Args[2:] {
		number, err := strconv.Atoi(text)
		check(err)
		numbers = append(numbers, number)
	}
	switch os.Args[1] {
	case "send":
		send(numbers[0], numbers[1])
	case "receive":
		receive(numbers[1])
	case "decode":
		decode(numbers[0], numbers[1], numbers[2], numbers[3])
	case "serve":
		serve(numbers[0], time.Duration(numbers[1])*time.Millisecond)
	case "crowd":
		crowd(numbers[0], numbers[1])
	}
}

func send(length, count int) {
	listener := listen()
	connection, err := listener.Accept()
	check(err)
	write(connection, length, count)
	check(connection.Close())
}

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Fprintf(os.Stderr, "Listening on %s\n", listener.Addr())
	return listener
}

// serve sends every client so many messages, each when it is due.
func serve(count int, interval time.Duration) {
	listener := listen()
	for {
		connection, err := listener.Accept()
		check(err)
		go func() {
			defer connection.Close()
			due := time.Now()
			for i := 0; i < count; i++ {
				time.Sleep(time.Until(due))
				due = due.Add(interval)
				now := float64(time.Now().UnixMicro()) / 1e6
				message := fmt.Sprintf("The time is %.6f", now)
				_, err := fmt.Fprintf(connection, "%-10d%s", len(message), message)
				if err != nil {
					return
				}
			}
			connection.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, connection)
		}()
	}
}

// crowd connects so many clients at once, and lets each read to the end.
func crowd(clients, port int) {
	start := time.Now()
	counts := make(chan [2]int)
	for i := 0; i < clients; i++ {
		go func() {
			connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			check(err)
			messages, size := read(connection, 512)
			connection.Close()
			counts <- [2]int{messages, size}
		}()
	}
	messages, size := 0, 0
	for i := 0; i < clients; i++ {
		count := <-counts
		messages += count[0]
		size += count[1]
	}
	report(messages, size, start)
}

func report(messages, size int, start time.Time) {
	seconds := time.Since(start).Seconds()
	fmt.Fprintf(os.Stderr, "%d messages, %d bytes in %f s\n", messages, size, seconds)
}

// write writes messages through bufio.
func write(to io.Writer, length, count int) {
	payload := make([]byte, length)
	header := make([]byte, 0, headerLength)
	writer := bufio.NewWriterSize(to, bufferSize)
	for i := 0; i < count; i++ {
		header = strconv.AppendInt(header[:0], int64(length), 10)
		for len(header) < headerLength {
			header = append(header, ' ')
		}
		_, err := writer.Write(header)
		check(err)
		_, err = writer.Write(payload)
		check(err)
	}
	check(writer.Flush())
}

func receive(port int) {
	connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	check(err)
	start := time.Now()
	messages, size := read(connection, bufferSize)
	report(messages, size, start)
}

// read reads messages through a buffer to the end of the stream, and counts them
// and their bytes.
func read(from io.Reader, buffer int) (messages, size int) {
	header := make([]byte, headerLength)
	payload := []byte{}
	reader := bufio.NewReaderSize(from, buffer)
	for {
		_, err := io.ReadFull(reader, header)
		if err == io.EOF {
			return
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
		size += headerLength + length
	}
}

// decode prints how many messages a second it takes apart, measured as
// codec.ts does.
func decode(length, count, chunk, times int) {
	const phase, sample = 0.2, 0.01
	var stream bytes.Buffer
	write(&stream, length, count)
	rates := []float64{}
	for start := time.Now(); time.Since(start).Seconds() < 2*phase || len(rates) == 0; {
		isWarm := time.Since(start).Seconds() > phase
		before := time.Now()
		messages := 0
		for time.Since(before).Seconds() < sample {
			count, _ := read(&chunks{stream.Bytes(), chunk, times, 0}, bufferSize)
			messages += count
		}
		if isWarm {
			rates = append(rates, float64(messages)/time.Since(before).Seconds())
		}
	}
	sort.Float64s(rates)
	fmt.Println(rates[len(rates)/2])
}

// chunks gives a stream so many times, a chunk for each call of Read at the most.
type chunks struct {
	stream []byte
	chunk  int
	times  int
	at     int
}

func (c *chunks) Read(into []byte) (int, error) {
	if c.at == len(c.stream) {
		c.times--
		c.at = 0
	}
	if c.times == 0 {
		return 0, io.EOF
	}
	end := c.at/c.chunk*c.chunk + c.chunk
	if end > len(c.stream) {
		end = len(c.stream)
	}
	size := copy(into, c.stream[c.at:end])
	c.at += size
	return size, nil
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
