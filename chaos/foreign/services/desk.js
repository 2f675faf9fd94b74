'use strict';
// The desk: where readers come first. Express.
const express = require('express');
const logger = require('pino')();
const { call } = require('./calls');
const { check } = require('./trouble');

const app = express();
app.use(express.json());

app.get('/books/:isbn', async (request, response) => {
  check('shelf');
  const title = await call('catalogue', `/titles/${request.params.isbn}`);
  let similar = [];
  try {
    similar = await call('recommend', `/similar/${request.params.isbn}`);
  } catch (error) {
    logger.warn(`no recommendations for ${request.params.isbn}: ${error.message}`);
  }
  response.json({ ...title, similar });
});

app.get('/find', async (request, response) => {
  response.json(await call('catalogue', `/titles?q=${encodeURIComponent(request.query.q || '')}`));
});

app.post('/loans', async (request, response) => {
  check('reader');
  const reader = await call('readers', `/reader/${request.body.reader}`);
  response.json(await call('lending', '/loans', { reader: reader.id, isbn: request.body.isbn }));
});

app.get('/readers/:id/loans', async (request, response) => {
  const reader = await call('readers', `/reader/${request.params.id}`);
  response.json(await call('lending', `/loans/${reader.id}`));
});

app.use((error, request, response, next) => {
  logger.error(`${request.method} ${request.path} failed: ${error.message}`);
  response.status(500).json({ error: 'the desk cannot help now' });
});

app.listen(Number(process.env.PORT), '127.0.0.1', () => logger.info('the desk is open'));
