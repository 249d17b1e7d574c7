/**
 * Runs in a client's process before the client does, and reports each of its
 * reads to the exercise's checker: on stderr, between NUL characters. The client
 * notices nothing.
 *
 * ```text
 * \0read 7 of 16\0     a read with room for 16 bytes brought 7
 * \0read null of 16\0  it brought the end of the stream
 * ```
 *
 * @module
 */

const { connect } = Deno;

async function connectAndReport(
  options: Deno.ConnectOptions,
): Promise<Deno.TcpConn> {
  const connection = await connect(options);
  const read = connection.read;
  connection.read = async (buffer) => {
    const size = await read.call(connection, buffer);
    const report = `\0read ${size} of ${buffer.length}\0`;
    Deno.stderr.writeSync(new TextEncoder().encode(report));
    return size;
  };
  return connection;
}

Object.assign(Deno, { connect: connectAndReport });
