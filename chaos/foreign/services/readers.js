'use strict';
// Readers and their sessions in Redis. Node's http module without any framework: no route ever reaches a span's name.
const http = require('http');
const Redis = require('ioredis');
const logger = require('pino')();
const { place } = require('./calls');
const { check } = require('./trouble');

const redis = new Redis({ host: '127.0.0.1', port: place('redis'), maxRetriesPerRequest: 1, commandTimeout: 3000 });
redis.on('error', (error) => logger.warn(`redis: ${error.message}`));

http
  .createServer(async (request, response) => {
    response.setHeader('content-type', 'application/json');
    try {
      check('session');
      const id = request.url.split('/').pop();
      const visits = await redis.hincrby(`reader:${id}`, 'visits', 1);
      response.end(JSON.stringify({ id, visits }));
    } catch (error) {
      logger.error(`cannot read a reader: ${error.message}`);
      response.statusCode = 500;
      response.end('{"error": "no reader"}');
    }
  })
  .listen(Number(process.env.PORT), '127.0.0.1', () => logger.info('readers listens'));
